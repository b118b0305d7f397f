/** The texts of the sign-in at an identity provider. See `learn` of messages.js. */
export const MESSAGES = Object.freeze({
  en: Object.freeze({
    "session.provider_wanted": "This server wants you to sign in at {name}.",
    "session.sign_in_with": "Sign in with {name}",
  }),
  de: Object.freeze({
    "session.provider_wanted": "Dieser Server verlangt, dass du dich bei {name} anmeldest.",
    "session.sign_in_with": "Mit {name} anmelden",
  }),
  ar: Object.freeze({
    "session.provider_wanted": "يتطلب هذا الخادم تسجيل الدخول لدى {name}.",
    "session.sign_in_with": "تسجيل الدخول عبر {name}",
  }),
});
