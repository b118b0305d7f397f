/** Settings: one dialog of sections. */

import { t } from "../client/messages.js";
import { dialogHead } from "./dialog.js";
import { el, freshId } from "./dom.js";

export class Settings {
  /**
   * A section is {title, element, show}. `element` may be a function that makes it each time the dialog opens, or gives null
   * for no section then; `show()`, if there is one, is called afterwards.
   */
  constructor(sections) {
    this.sections = sections;
  }

  /** `focus` is a selector of the control that takes it; without one the browser's choice. */
  open({ focus = null } = {}) {
    if (this.dialog?.isConnected) return;
    const id = freshId("settings");
    this.dialog = el("dialog.dialog.settings", { "aria-labelledby": id, onclose: () => this.dialog.remove() },
      dialogHead(id, t("settings.title")),
      this.sections.map((section) => sectionOf(section)));
    document.body.append(this.dialog);
    this.dialog.showModal();
    for (const { show } of this.sections) show?.();
    if (focus) this.dialog.querySelector(focus)?.focus();
  }

  close() {
    this.dialog?.close();
  }
}

function sectionOf({ title, element }) {
  const id = freshId("section");
  const body = typeof element === "function" ? element() : element;
  return body && el("section.settings-section", { "aria-labelledby": id }, el("h3", { id }, title), body);
}

/**
 * A group of radio buttons: `choices` are [value, label] pairs, `onPick(value)` is called when another one is chosen.
 */
export function choiceOf({ label, choices, value, onPick }) {
  const name = freshId("choice");
  return el("fieldset.choice", {}, el("legend", {}, label), el("div.choice-options", {}, choices.map(([each, word]) => el("label.choice-option", {},
    el("input", { type: "radio", name, value: each, checked: each === value, onchange: () => onPick(each) }), el("span", {}, word)))));
}
