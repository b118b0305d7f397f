/** Light, dark, or as the system has it. `first_paint.js` applies the choice before anything is drawn. */

import { el } from "./dom.js";
import { icon } from "./icons.js";

const KEY = "understudy.theme";
const NEXT = Object.freeze({ auto: "light", light: "dark", dark: "auto" });
const LABELS = Object.freeze({ auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" });
const ICONS = Object.freeze({ auto: "auto", light: "sun", dark: "moon" });

/** A button that goes through the three choices. */
export function themeSwitch(storage) {
  const button = el("button.quiet.icon-button", { type: "button" });
  const show = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.replaceChildren(icon(ICONS[theme]));
    button.title = LABELS[theme];
    button.setAttribute("aria-label", `${LABELS[theme]}. Change`);
  };
  let theme = Object.hasOwn(NEXT, storage.getItem(KEY) ?? "") ? storage.getItem(KEY) : "auto";
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    storage.setItem(KEY, theme);
    show(theme);
  });
  show(theme);
  return button;
}
