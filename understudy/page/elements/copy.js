/** Copy buttons, which confirm that they have copied. */

import { el } from "./dom.js";
import { t } from "../client/messages.js";
import { icon } from "./icons.js";

const SHOWN_MS = 1600;

/** A button that copies what `text()` returns, or resolves to. `label` names it; it is shown as a word when `wordy`. */
export function copyButton(text, label, { wordy = false } = {}) {
  const word = wordy ? el("span", {}, label) : null;
  const button = el("button.quiet.copy", { type: "button", title: label, "aria-label": label }, icon("copy"), word);
  button.addEventListener("click", async () => {
    const copied = await Promise.resolve(text()).then(copy, () => false);
    button.replaceChildren(icon(copied ? "check" : "warning"), ...(wordy ? [el("span", {}, t(copied ? "action.copied" : "action.not_copied"))] : []));
    button.setAttribute("aria-label", t(copied ? "action.copied" : "action.copy_impossible"));
    setTimeout(() => {
      button.replaceChildren(icon("copy"), ...(word ? [word] : []));
      button.setAttribute("aria-label", label);
    }, SHOWN_MS);
  });
  return button;
}

/** Resolves to whether `text` is in the clipboard. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelection(text); // no clipboard outside https and localhost
  }
}

function copySelection(text) {
  const area = el("textarea.offscreen", { value: text, readOnly: true, "aria-hidden": "true" });
  const before = document.activeElement;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  before?.focus();
  return copied;
}
