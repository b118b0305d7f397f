/** The texts of widgets and of what they ask for, which are loaded with the first widget. See `learn` of messages.js. */
export const MESSAGES = Object.freeze({
  en: Object.freeze({
    "widget.of": "{tool}, from {server}",
    "widget.loading": "Loading the widget",
    "widget.stopped": "The widget said too much, and was stopped.",
    "widget.open_title": "Open this link?",
    "widget.open_text": "{server} wants to open {url} in a new tab.",
    "widget.open": "Open the link",
    "widget.send_title": "Send this message?",
    "widget.send_text": "{server} wants to send this for you: “{text}”",
  }),
  de: Object.freeze({
    "widget.of": "{tool}, von {server}",
    "widget.loading": "Das Widget wird geladen",
    "widget.stopped": "Das Widget hat zu viel gesendet und wurde beendet.",
    "widget.open_title": "Diesen Link öffnen?",
    "widget.open_text": "{server} möchte {url} in einem neuen Tab öffnen.",
    "widget.open": "Link öffnen",
    "widget.send_title": "Diese Nachricht senden?",
    "widget.send_text": "{server} möchte dies für dich senden: „{text}“",
  }),
  ar: Object.freeze({
    "widget.of": "{tool}، من {server}",
    "widget.loading": "يجري تحميل الأداة",
    "widget.stopped": "أرسلت الأداة أكثر مما يجوز فأُوقفت.",
    "widget.open_title": "أتريد فتح هذا الرابط؟",
    "widget.open_text": "يريد {server} فتح {url} في علامة تبويب جديدة.",
    "widget.open": "فتح الرابط",
    "widget.send_title": "أتريد إرسال هذه الرسالة؟",
    "widget.send_text": "يريد {server} إرسال هذا نيابة عنك: «{text}»",
  }),
});
