/** The text of the way to the observer. See `learn` of messages.js. */
export const MESSAGES = Object.freeze({
  en: Object.freeze({
    "account.observer": "Observer",
  }),
  de: Object.freeze({
    "account.observer": "Beobachter",
  }),
  ar: Object.freeze({
    "account.observer": "المراقب",
  }),
});
