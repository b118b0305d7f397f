/** The text of what agents remember that the page shows before its dialog is opened. See `learn` of messages.js. */
export const MESSAGES = Object.freeze({
  en: Object.freeze({
    "memory.button": "Memory",
  }),
  de: Object.freeze({
    "memory.button": "Gedächtnis",
  }),
  ar: Object.freeze({
    "memory.button": "الذاكرة",
  }),
});
