/** Theme and density. `first_paint.js` applies the choices before anything is drawn. */

import { t } from "../client/messages.js";
import { el } from "./dom.js";
import { choiceOf } from "./settings.js";

const CHOICES = Object.freeze({ theme: ["auto", "light", "dark"], density: ["comfortable", "compact"] }); // the first is no choice

/** The section of the settings for them. */
export function appearanceSection(storage) {
  const group = (name) => choiceOf({
    label: t(`appearance.${name}`), choices: CHOICES[name].map((value) => [value, t(`appearance.${name}_${value}`)]),
    value: chosen(storage, name), onPick: (value) => choose(storage, name, value),
  });
  return { title: t("appearance.title"), element: el("div.settings-body", {}, group("theme"), group("density")) };
}

function chosen(storage, name) {
  const value = storage.getItem(`understudy.${name}`);
  return CHOICES[name].includes(value) ? value : CHOICES[name][0];
}

function choose(storage, name, value) {
  if (value === CHOICES[name][0]) {
    storage.removeItem(`understudy.${name}`);
    delete document.documentElement.dataset[name];
  } else {
    storage.setItem(`understudy.${name}`, value);
    document.documentElement.dataset[name] = value;
  }
}
