/** The forms of the administration page: what is asked before something is done to a row, and what makes something new. */

import { el, freshId } from "../elements/dom.js";

/**
 * A form with `fields`, {name: label}, of which those in `options`, {name: {value: label}}, are chosen, and those in `optional` may be
 * empty; `given` is what they have at first. `onAgree(filled)` is called with what they have then; `buttons` stand before `agree`.
 */
export function formOf({ fields = {}, options = {}, optional = Object.keys(fields), given = {}, agree, buttons = [], onAgree, name }) {
  const inputs = Object.keys(fields).map((field) => [field, input(field, options[field], !optional.includes(field), given[field] ?? "")]);
  const submit = el("button.primary", { type: "submit" }, agree);
  const form = el("form.admin-form", { "aria-label": name, onsubmit: async (event) => {
    event.preventDefault();
    submit.disabled = true;
    const done = await onAgree(Object.fromEntries(inputs.map(([field, { value }]) => [field, value.trim()]))).finally(() => { submit.disabled = false; });
    if (done) for (const [field, one] of inputs) if (!options[field]) one.value = given[field] ?? "";
  } }, inputs.map(([field, one]) => el("div.admin-field", {}, el("label", { for: one.id }, fields[field]), one)), el("div.dialog-actions", {}, buttons, submit));
  return { element: form, focus: () => (inputs[0]?.[1] ?? submit).focus() };
}

function input(field, options, required, value) {
  const id = freshId(field);
  if (options) return el("select.dialog-input", { id }, Object.entries(options).map(([word, title]) => el("option", { value: word }, title)));
  return el("input.dialog-input", { id, required, maxLength: 500, autocomplete: "off", spellcheck: false, value });
}
