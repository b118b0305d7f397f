/** The texts of the page that shows a shared conversation. See `learn` of messages.js. */
export const MESSAGES = Object.freeze({
  en: Object.freeze({
    "shared.reading": "Reading…",
    "shared.away": "The server does not answer at the moment.",
    "shared.about": "A conversation as it was on {made}. The link ends on {ends}.",
    "shared.older": "Show earlier messages",
    "shared.gone": "This link does not exist any more",
    "shared.gone_hint": "It has ended, or who made it has revoked it.",
    "shared.question": "Message of the user",
    "shared.cut": "This answer is not complete.",
  }),
  de: Object.freeze({
    "shared.reading": "Wird gelesen …",
    "shared.away": "Der Server antwortet gerade nicht.",
    "shared.about": "Ein Gespräch, wie es am {made} war. Der Link endet am {ends}.",
    "shared.older": "Frühere Nachrichten zeigen",
    "shared.gone": "Diesen Link gibt es nicht mehr",
    "shared.gone_hint": "Er ist abgelaufen oder wurde widerrufen.",
    "shared.question": "Nachricht des Benutzers",
    "shared.cut": "Diese Antwort ist nicht vollständig.",
  }),
  ar: Object.freeze({
    "shared.reading": "جارٍ القراءة…",
    "shared.away": "الخادم لا يجيب حاليًا.",
    "shared.about": "محادثة كما كانت في {made}. ينتهي الرابط في {ends}.",
    "shared.older": "عرض الرسائل الأقدم",
    "shared.gone": "هذا الرابط لم يعد موجودًا",
    "shared.gone_hint": "انتهت مدته أو ألغاه من أنشأه.",
    "shared.question": "رسالة المستخدم",
    "shared.cut": "هذه الإجابة غير مكتملة.",
  }),
});
