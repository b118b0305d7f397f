/** The language of the page: the user's choice, stored in this browser, on <html>. */

import { chosenLanguage, language, LANGUAGES, t, useLanguage } from "../client/messages.js";
import { el, freshId } from "../elements/dom.js";

const KEY = "understudy.language";

/** The tag that the user chose; null for what the browser says. */
function storedLanguage(storage) {
  const tag = storage.getItem(KEY);
  return Object.hasOwn(LANGUAGES, tag ?? "") ? tag : null;
}

/** Loads the language before anything is drawn; English if its texts cannot be loaded. */
export async function startLanguage(storage) {
  try {
    await useLanguage(chosenLanguage(storedLanguage(storage), navigator.languages));
  } catch {
    // its catalogue cannot be reached: the page works in English meanwhile
  }
  const { language: lang, dir } = language();
  Object.assign(document.documentElement, { lang, dir });
  if (dir === "rtl") storage.setItem("understudy.dir", dir); // for first_paint.js at the next visit
  else storage.removeItem("understudy.dir");
}

/** The section of the settings for it. `onPick()` draws the page anew; drafts are kept in storage. */
export function languageSection(storage, onPick) {
  const [id, hintId] = [freshId("language"), freshId("hint")];
  const select = el("select.field-input", { id, "aria-label": t("language.title"), "aria-describedby": hintId },
    el("option", { value: "" }, t("language.auto")),
    Object.entries(LANGUAGES).map(([tag, { name, dir }]) => el("option", { value: tag, lang: tag, dir }, name)));
  select.value = storedLanguage(storage) ?? "";
  select.addEventListener("change", () => {
    if (select.value === "") storage.removeItem(KEY);
    else storage.setItem(KEY, select.value);
    onPick();
  });
  return { title: t("language.title"), element: el("div.settings-body", {}, select, el("p.hint", { id: hintId }, t("language.about"))) };
}
