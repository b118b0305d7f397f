/** The settings: one dialog of sections, and those of the chat page. */

import { t } from "../client/messages.js";
import { confirmed, dialogHead, showUntilClosed } from "../elements/dialog.js";
import { arrange, el, freshId, setText } from "../elements/dom.js";
import { languageSection } from "./language.js";
import { clearCopies } from "../client/connection/session.js";
import { CHOICES, choose, chosen } from "./theme.js";

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
    this.dialog = el("dialog.dialog.settings", { "aria-labelledby": id }, this.head);
    this.#arrange();
    showUntilClosed(this.dialog);
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

// The settings of the chat page: all of their sections.

/** `page` is {extensions, redraw()}, `storage` where the choices are kept. */
export function pageSettings(page, storage) {
  const own = [appearanceSection(storage), languageSection(storage, () => page.redraw())];
  const added = (kind) => page.extensions.made?.all(kind) ?? [];
  return new Settings(() => [...own, ...added("settings"), { title: t("data.title"), element: () => dataRows([...added("dataRows"), clearing(storage)]) }]);
}

/** The row of what this browser keeps of the user. */
function clearing(storage) {
  return {
    about: t("data.clear_about"), label: t("data.clear"), look: "secondary", act: async () => {
      if (!(await confirmed({ title: t("data.clear_title"), text: t("data.clear_text"), agree: t("data.clear") }))) return;
      await clearCopies(storage, globalThis.caches);
      location.reload();
    },
  };
}

/** Rows of actions on a user's data, each as `addDataRow` of `extensions.js` takes it, and the outcome of each. */
function dataRows(rows) {
  const hint = el("p.hint", { role: "status" });
  const element = ({ about, label, look, apart = null, act }) => {
    const button = el(`button.${look}`, { type: "button" }, label);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        setText(hint, (await act((words) => setText(hint, words))) ?? "");
      } catch (fault) {
        setText(hint, fault.message);
      } finally {
        button.disabled = false;
      }
    });
    const row = el("div.settings-row", {}, el("p", {}, about), button);
    return apart ? el("details.settings-more", {}, el("summary", {}, apart), row) : row;
  };
  const [seen, apart] = [rows.filter((row) => !row.apart), rows.filter((row) => row.apart)];
  return el("div.settings-body", {}, [...seen, ...apart].map(element), hint);
}

// The section of the settings for theme and density.

export function appearanceSection(storage) {
  const group = (name) => choiceOf({
    label: t(`appearance.${name}`), choices: CHOICES[name].map((value) => [value, t(`appearance.${name}_${value}`)]),
    value: chosen(storage, name), onPick: (value) => choose(storage, name, value),
  });
  return { title: t("appearance.title"), element: el("div.settings-body", {}, group("theme"), group("density")) };
}
