/** The text of the button of the servers of a chat. See `learn` of messages.js. */
export const MESSAGES = Object.freeze({
  en: Object.freeze({
    "servers.of_chat": "Servers of this chat",
  }),
  de: Object.freeze({
    "servers.of_chat": "Server dieses Chats",
  }),
  ar: Object.freeze({
    "servers.of_chat": "خوادم هذه المحادثة",
  }),
});
