/** Questions to the user, in the browser's own modal dialog (focus stays inside, Escape says no). */

import { el, freshId, setText } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "../client/messages.js";

/** The head of a dialog: its title, by whose `id` it is named, and the button that closes it. */
export function dialogHead(id, title) {
  return el("div.dialog-head", {}, el("h2", { id }, title), el("button.quiet.icon-button", {
    type: "button", title: t("action.close"), "aria-label": t("action.close"), onclick: (event) => event.currentTarget.closest("dialog").close(),
  }, icon("close")));
}

/** Shows a `<dialog>` over the page, and removes it when it is closed. Resolves then, to whether it was closed with "yes". */
export function showUntilClosed(dialog) {
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    }, { once: true });
  });
}

/** Resolves to true when the user agrees to what cannot be taken back. */
export function confirmed({ title, text, agree }) {
  return answered(title, text,
    (answer) => el("button.secondary", { type: "button", autofocus: true, onclick: () => answer("no") }, t("action.keep")),
    (answer) => el("button.danger", { type: "button", onclick: () => answer("yes") }, agree));
}

/** Resolves to true when the user goes on. */
export function told({ title, text, agree }) {
  return answered(title, text,
    (answer) => el("button.secondary", { type: "button", onclick: () => answer("no") }, t("action.not_now")),
    (answer) => el("button.primary", { type: "button", autofocus: true, onclick: () => answer("yes") }, agree));
}

function answered(title, text, ...buttons) {
  const id = freshId("dialog");
  const dialog = el("dialog.dialog", { "aria-labelledby": id },
    el("h2", { id }, title), el("p", {}, text),
    el("div.dialog-actions", {}, ...buttons.map((button) => button((answer) => dialog.close(answer)))));
  return showUntilClosed(dialog);
}

/**
 * Resolves to true when `accept(typed)`, given what was typed without spaces around it, has resolved; to false when the
 * user would rather not. Why it rejects, {message}, is said at the field, to be corrected.
 */
export function asked({ title, text, label, agree, accept }) {
  const [id, faultId] = [freshId("dialog"), freshId("fault")];
  const input = el("input.dialog-input", { type: "password", autocomplete: "off", spellcheck: false, required: true, "aria-label": label, placeholder: label, "aria-describedby": faultId });
  const fault = el("p.field-error", { id: faultId, role: "alert" });
  const submit = el("button.primary", { type: "submit" }, agree);
  const refuse = (sentence) => {
    setText(fault, sentence);
    if (sentence) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  input.addEventListener("input", () => refuse(""));
  const form = el("form", {
    noValidate: true,
    onsubmit: async (event) => {
      event.preventDefault();
      const typed = input.value.trim();
      if (submit.disabled || typed === "") return;
      submit.disabled = true;
      try {
        refuse("");
        await accept(typed);
        dialog.close("yes");
      } catch (refusal) {
        refuse(refusal.message);
        input.focus();
        input.select();
      }
      submit.disabled = false;
    },
  },
    el("h2", { id }, title), el("p", {}, text), input, fault,
    el("div.dialog-actions", {},
      el("button.secondary", { type: "button", onclick: () => dialog.close("no") }, t("action.not_now")), submit));
  const dialog = el("dialog.dialog", { "aria-labelledby": id }, form);
  return showUntilClosed(dialog);
}

const SHOWN_MS = 8000;

/** Sentences that belong to no message, shown for a while in a corner. */
export class Toasts {
  constructor() {
    this.element = el("div.toasts", { role: "status", "aria-live": "polite" });
  }

  show(sentence, errorId = null) {
    const toast = el("div.toast", {}, el("p", {}, sentence), errorId && el("code", {}, errorId),
      el("button.link", { type: "button", onclick: () => toast.remove() }, t("action.dismiss")));
    this.element.append(toast);
    while (this.element.childElementCount > 3) this.element.firstElementChild.remove();
    setTimeout(() => toast.remove(), SHOWN_MS);
  }

  /** Shows a sentence with something to do about it, until that is done or dismissed. Returns how to take it back. */
  offer(sentence, label, act) {
    const toast = el("div.toast", {}, el("p", {}, sentence), el("button.link", { type: "button", onclick: act }, label),
      el("button.link", { type: "button", onclick: () => toast.remove() }, t("action.dismiss")));
    this.element.append(toast);
    return () => toast.remove();
  }
}
