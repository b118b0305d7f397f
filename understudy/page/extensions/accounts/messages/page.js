/** The texts of accounts in the menu of who is signed in. See `learn` of messages.js. */
export const MESSAGES = Object.freeze({
  en: Object.freeze({
    "account.change_password": "Change the password",
    "account.passkeys": "Passkeys",
  }),
  de: Object.freeze({
    "account.change_password": "Passwort ändern",
    "account.passkeys": "Passkeys",
  }),
  ar: Object.freeze({
    "account.change_password": "تغيير كلمة المرور",
    "account.passkeys": "مفاتيح المرور",
  }),
});
