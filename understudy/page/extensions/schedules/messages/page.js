/** The texts of schedules that the page shows before their dialog is opened. See `learn` of messages.js. */
export const MESSAGES = Object.freeze({
  en: Object.freeze({
    "schedules.title": "Schedules",
    "schedules.next_times": "Scheduled",
    "schedules.no_next_times": "Nothing is scheduled.",
    "schedules.next": "Next {when}",
  }),
  de: Object.freeze({
    "schedules.title": "Zeitpläne",
    "schedules.next_times": "Geplant",
    "schedules.no_next_times": "Nichts ist geplant.",
    "schedules.next": "Nächstes Mal {when}",
  }),
  ar: Object.freeze({
    "schedules.title": "الجداول الزمنية",
    "schedules.next_times": "مجدول",
    "schedules.no_next_times": "لا شيء مجدول.",
    "schedules.next": "التالي {when}",
  }),
});
