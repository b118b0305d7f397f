/** The section of the settings for theme and density. */

import { t } from "../client/messages.js";
import { el } from "./dom.js";
import { choiceOf } from "./settings.js";
import { CHOICES, choose, chosen } from "./theme.js";

export function appearanceSection(storage) {
  const group = (name) => choiceOf({
    label: t(`appearance.${name}`), choices: CHOICES[name].map((value) => [value, t(`appearance.${name}_${value}`)]),
    value: chosen(storage, name), onPick: (value) => choose(storage, name, value),
  });
  return { title: t("appearance.title"), element: el("div.settings-body", {}, group("theme"), group("density")) };
}
