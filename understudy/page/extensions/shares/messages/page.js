/** The texts of shares that the page shows before their dialog is opened. See `learn` of messages.js. */
export const MESSAGES = Object.freeze({
  en: Object.freeze({
    "share.item": "Share…",
  }),
  de: Object.freeze({
    "share.item": "Teilen …",
  }),
  ar: Object.freeze({
    "share.item": "مشاركة…",
  }),
});
