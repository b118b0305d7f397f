/**
 * The page's texts in the user's language. Pure: knows nothing of the document.
 *
 * A message is a text with `{names}` of values, or one text for each plural category, chosen by the value `count`.
 * English is built in; another catalogue is loaded when it is chosen. A key that a catalogue lacks is said in English.
 */

import { messages as english } from "./messages/en.js";

/** The languages: tag -> {name in the language itself, dir, load()}. */
export const LANGUAGES = Object.freeze({
  en: { name: "English", dir: "ltr", load: () => ({ messages: english }) },
  de: { name: "Deutsch", dir: "ltr", load: () => import("./messages/de.js") },
  ar: { name: "العربية", dir: "rtl", load: () => import("./messages/ar.js") },
});

let current = speech("en", "en", english);

function speech(language, given, messages) {
  const locale = given === "ar" ? "ar-u-nu-arab" : given; // browsers differ where no country is named
  return { language, locale, messages, plural: new Intl.PluralRules(locale), number: new Intl.NumberFormat(locale), formats: new WeakMap() };
}

/**
 * {language, locale}: the stored choice if there is such a language, else the first that the user reads, else English.
 * `offered` are tags as in `navigator.languages`; the locale is one of them with the same language, so that numbers and
 * dates look as the user knows them.
 */
export function chosenLanguage(stored, offered = []) {
  const tags = offered.filter((tag) => typeof tag === "string");
  const primary = (tag) => tag.split("-")[0].toLowerCase();
  const known = (language) => Object.hasOwn(LANGUAGES, language ?? "");
  const language = known(stored) ? stored : tags.map(primary).find(known) ?? "en";
  const locale = tags.find((tag) => primary(tag) === language) ?? language;
  return { language, locale: Intl.NumberFormat.supportedLocalesOf(locale)[0] ?? language };
}

/** Uses another language from now on. Rejects when its catalogue cannot be loaded; the language stays as it was then. */
export async function useLanguage({ language, locale = language }) {
  const { messages } = await LANGUAGES[language].load();
  current = speech(language, locale, messages);
}

/** Adds the texts of a part that is loaded on demand: tag -> catalogue. They are there until another language is used. */
export function learn(texts) {
  current = { ...current, messages: { ...current.messages, ...texts[current.language] } };
}

/** {language, locale, dir} in use. */
export function language() {
  return { language: current.language, locale: current.locale, dir: LANGUAGES[current.language].dir };
}

/** The text of a message; numbers among the values are written as the language does. */
export function t(key, values = {}) {
  return parts(key, values).join("");
}

/** A message as a list of texts and values, for sentences that hold elements: `el("p", {}, parts("chat.back_to", {title}))`. */
export function parts(key, values = {}) {
  const message = current.messages[key] ?? english[key] ?? key;
  const text = typeof message === "string" ? message : message[current.plural.select(values.count)] ?? message.other;
  return text.split(/\{(\w+)\}/).flatMap((piece, index) => {
    if (index % 2 === 0) return piece === "" ? [] : [piece];
    const value = values[piece] ?? "";
    if (typeof value === "number") return [number(value)];
    return [typeof value === "string" ? isolated(value) : value];
  });
}

const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}]/u;
const LEFT_TO_RIGHT = /(?![\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}])\p{L}/u;

/** A text that runs against the language, between marks (Unicode's FSI and PDI) that keep it from reordering what is around it. */
export function isolated(text) {
  const against = LANGUAGES[current.language].dir === "rtl" ? LEFT_TO_RIGHT : RIGHT_TO_LEFT;
  return against.test(text) ? `\u2068${text}\u2069` : text;
}

/** Whether there is such a message: for keys made of what a server says, such as the code of an error. */
export function hasMessage(key) {
  return Object.hasOwn(english, key);
}

/**
 * The sentence for an error {code, message}: the server's own, or in another language than English that of the code, if
 * the page knows it.
 */
export function errorText({ code, message }) {
  const known = hasMessage(`code.${code}`);
  if (message && (!known || current.language === "en")) return message;
  return t(known ? `code.${code}` : "code.unknown");
}

/** "12,300"; `options` as `Intl.NumberFormat` takes them. */
export function number(value, options = null) {
  return (options === null ? current.number : format(Intl.NumberFormat, options)).format(value);
}

/** A moment (ms) as `options` of `Intl.DateTimeFormat` say. */
export function dateTime(at, options) {
  return format(Intl.DateTimeFormat, options).format(at);
}

/** A format is dear to make, and made once for each object of options: give constants. */
function format(Format, options) {
  if (!current.formats.has(options)) current.formats.set(options, new Format(current.locale, options));
  return current.formats.get(options);
}

/** "a, b and c". */
export function listed(words) {
  return new Intl.ListFormat(current.locale, { style: "long", type: "conjunction" }).format(words.map(isolated));
}

/** "a, b, c". */
export function enumerated(words) {
  return words.map(isolated).join(t("list.comma"));
}
