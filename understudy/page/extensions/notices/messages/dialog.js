/** The texts of the dialog of the inbox, which are loaded with it. See `learn` of messages.js. */
export const MESSAGES = Object.freeze({
  en: Object.freeze({
    "inbox.none_needs_you": "Nothing waits for you.",
    "inbox.none_running": "Nothing is running.",
    "inbox.none_unread": "You have seen every answer.",
    "inbox.queued": "Waits its turn",
    "inbox.ended_done": "Done",
    "inbox.ended_failed": "Failed",
    "inbox.read_all": "Mark all as read",
  }),
  de: Object.freeze({
    "inbox.none_needs_you": "Nichts wartet auf dich.",
    "inbox.none_running": "Nichts ist in Arbeit.",
    "inbox.none_unread": "Du hast jede Antwort gesehen.",
    "inbox.queued": "Wartet, bis es an der Reihe ist",
    "inbox.ended_done": "Fertig",
    "inbox.ended_failed": "Fehlgeschlagen",
    "inbox.read_all": "Alle als gelesen markieren",
  }),
  ar: Object.freeze({
    "inbox.none_needs_you": "لا شيء ينتظرك.",
    "inbox.none_running": "لا شيء قيد العمل.",
    "inbox.none_unread": "اطّلعت على كل الإجابات.",
    "inbox.queued": "ينتظر دوره",
    "inbox.ended_done": "انتهى",
    "inbox.ended_failed": "فشل",
    "inbox.read_all": "وضع علامة مقروء على الكل",
  }),
});
