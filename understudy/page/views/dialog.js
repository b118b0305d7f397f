/** Questions to the user, in the browser's own modal dialog (focus stays inside, Escape says no). */

import { el, freshId } from "./dom.js";

/** Resolves to true when the user agrees. */
export function confirmed({ title, text, agree }) {
  const id = freshId("dialog");
  const dialog = el("dialog.dialog", { "aria-labelledby": id },
    el("h2", { id }, title), el("p", {}, text),
    el("div.dialog-actions", {},
      el("button.secondary", { type: "button", autofocus: true, onclick: () => dialog.close("no") }, "Keep it"),
      el("button.danger", { type: "button", onclick: () => dialog.close("yes") }, agree)));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

/** Resolves to what the user typed, without spaces around it; null when the user would rather not. */
export function asked({ title, text, label, agree }) {
  const id = freshId("dialog");
  const input = el("input.dialog-input", { type: "password", autocomplete: "off", spellcheck: false, required: true, "aria-label": label, placeholder: label });
  const form = el("form", { method: "dialog", onsubmit: () => dialog.close("yes") },
    el("h2", { id }, title), el("p", {}, text), input,
    el("div.dialog-actions", {},
      el("button.secondary", { type: "button", onclick: () => dialog.close("no") }, "Not now"),
      el("button.primary", { type: "submit" }, agree)));
  const dialog = el("dialog.dialog", { "aria-labelledby": id }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" && input.value.trim() ? input.value.trim() : null);
    });
  });
}

const SHOWN_MS = 8000;

/** Sentences that belong to no message, shown for a while in a corner. */
export class Toasts {
  constructor() {
    this.element = el("div.toasts", { role: "status", "aria-live": "polite" });
  }

  show(sentence, errorId = null) {
    const toast = el("div.toast", {}, el("p", {}, sentence), errorId && el("code", {}, errorId),
      el("button.link", { type: "button", onclick: () => toast.remove() }, "Dismiss"));
    this.element.append(toast);
    while (this.element.childElementCount > 3) this.element.firstElementChild.remove();
    setTimeout(() => toast.remove(), SHOWN_MS);
  }
}
