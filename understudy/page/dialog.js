/** A question with two answers, in the browser's own modal dialog (focus stays inside, Escape says no). */

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
