/** The texts of the offer of a model of this machine. See `learn` of messages.js. */
export const MESSAGES = Object.freeze({
  en: Object.freeze({
    "composer.use_local": "Use {model} of {server}, on this machine",
  }),
  de: Object.freeze({
    "composer.use_local": "{model} von {server} auf diesem Rechner verwenden",
  }),
  ar: Object.freeze({
    "composer.use_local": "استخدام {model} من {server} على هذا الجهاز",
  }),
});
