/** The texts of what is allowed always. See `learn` of messages.js. */
export const MESSAGES = Object.freeze({
  en: Object.freeze({
    "approval.always": "Always allow {tool} in this chat",
    "approval.said_always": "always in this chat",
    "approval.ask_again": "Ask again next time",
    "approval.asks_again": "It will ask again.",
    "approval.asks_already": "It asks already.",
  }),
  de: Object.freeze({
    "approval.always": "{tool} in diesem Chat immer erlauben",
    "approval.said_always": "immer in diesem Chat",
    "approval.ask_again": "Nächstes Mal wieder fragen",
    "approval.asks_again": "Es wird wieder gefragt.",
    "approval.asks_already": "Es wird ohnehin gefragt.",
  }),
  ar: Object.freeze({
    "approval.always": "السماح دائمًا باستخدام {tool} في هذه المحادثة",
    "approval.said_always": "دائمًا في هذه المحادثة",
    "approval.ask_again": "اسأل مجددًا في المرة القادمة",
    "approval.asks_again": "سيُطلب الإذن من جديد.",
    "approval.asks_already": "يُطلب الإذن أصلًا.",
  }),
});
