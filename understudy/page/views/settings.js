/** Settings: one dialog of sections. */

import { t } from "../client/messages.js";
import { dialogHead } from "./dialog.js";
import { arrange, el, freshId } from "./dom.js";

export class Settings {
  /**
   * `sections()` are the sections, {title, element} each. `element` may be a function that makes it, each time the dialog opens, or gives
   * null for no section then.
   */
  constructor(sections) {
    this.sections = sections;
  }

  /** `focus` is a selector of the control that takes it; without one the browser's choice. */
  open({ focus = null } = {}) {
    if (this.dialog?.isConnected) return;
    const id = freshId("settings");
    this.head = dialogHead(id, t("settings.title"));
    this.shown = new Map();
    this.dialog = el("dialog.dialog.settings", { "aria-labelledby": id, onclose: () => this.dialog.remove() }, this.head);
    this.#arrange();
    document.body.append(this.dialog);
    this.dialog.showModal();
    if (focus) this.dialog.querySelector(focus)?.focus();
  }

  /** Shows the sections there are now, if the dialog is open. */
  update() {
    if (this.dialog?.isConnected) this.#arrange();
  }

  #arrange() {
    const { shown } = this;
    this.shown = new Map(this.sections().map((section) => [section.element, shown.get(section.element) ?? sectionOf(section)]));
    arrange(this.dialog, [this.head, ...[...this.shown.values()].filter(Boolean)]);
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
