/** The controls of a form: one a field, each with its label, its description and what is wrong with it. */

import { enteredFor, fieldsOf, namedField, readForm } from "../client/form.js";
import { el, freshId, setText } from "./dom.js";

const TYPES = Object.freeze({ text: "text", secret: "password", number: "number", date: "date", moment: "datetime-local" });

export class FormFields {
  /** `schema` is that of an object; `values`, unless null, take the place of its defaults. */
  constructor(schema, values = null) {
    this.fields = fieldsOf(schema, values);
    this.controls = new Map(this.fields.map((field) => [field.name, controlOf(field)]));
    this.element = el("div.fields", {}, [...this.controls.values()].map((control) => control.element));
  }

  /** The answer; null when something is wrong, which then stands at its field, and the first such field has the focus. */
  read() {
    const entered = {};
    for (const { name } of this.fields) entered[name] = this.controls.get(name).read();
    const { answer = null, errors = {} } = readForm(this.fields, entered);
    for (const { name } of this.fields) this.#mark(name, errors[name] ?? "");
    this.#focus(Object.keys(errors)[0]);
    return answer;
  }

  /** Shows a refusal of the server at the field that it names. Returns false when it names none. */
  refuse(message) {
    const field = namedField(this.fields, message);
    if (!field) return false;
    this.#mark(field.name, message.replace(/^The field `[^`]*` (?:is wrong: )?/, "").replace(/^\p{Ll}/u, (letter) => letter.toUpperCase()));
    this.#focus(field.name);
    return true;
  }

  focus() {
    this.#focus(this.fields[0]?.name);
  }

  set disabled(disabled) {
    for (const { input } of this.controls.values()) input.disabled = disabled;
  }

  #focus(name) {
    this.controls.get(name)?.input.focus({ preventScroll: false });
  }

  #mark(name, text) {
    const { input, error } = this.controls.get(name);
    setText(error, text);
    error.hidden = text === "";
    if (text === "") input.removeAttribute("aria-invalid");
    else input.setAttribute("aria-invalid", "true");
  }
}

function controlOf(field) {
  const [id, hintId, errorId] = [freshId("field"), freshId("hint"), freshId("wrong")];
  const described = field.description ? `${hintId} ${errorId}` : errorId;
  const input = inputOf(field, { id, "aria-describedby": described, "aria-required": field.required ? "true" : null });
  const error = el("p.field-error", { id: errorId, hidden: true });
  const more = field.kind === "list" ? " (one a line)" : field.kind === "json" ? " (JSON)" : "";
  const optional = field.required || field.kind === "flag" ? "" : " (optional)";
  const label = el("label.field-label", { for: id }, field.label, el("span.field-optional", {}, more + optional));
  const hint = field.description ? el("p.field-hint", { id: hintId }, field.description) : null;
  const first = field.kind === "flag" ? el("div.field-flag", {}, input, label) : label;
  const element = el("div.field", {}, first, hint, field.kind === "flag" ? null : input, error);
  return { element, input, error, read: () => (field.kind === "flag" ? input.checked : input.value) };
}

function inputOf(field, attributes) {
  const { kind, schema } = field;
  const entered = enteredFor(field, field.initial);
  if (kind === "flag") return el("input", { type: "checkbox", checked: entered, ...attributes });
  if (kind === "choice") {
    const none = field.required && field.initial !== null ? null : el("option", { value: "" }, field.required ? "Choose…" : "–");
    const options = field.options.map((option, index) => el("option", { value: String(index) }, option === null ? "none" : String(option)));
    const select = el("select.field-input", attributes, none, options);
    select.value = entered;
    return select;
  }
  if (kind === "lines" || kind === "list" || kind === "json") {
    return el("textarea.field-input", { value: entered, rows: 4, dir: "auto", spellcheck: kind !== "json", ...attributes });
  }
  const step = kind === "number" ? { step: schema.type === "integer" ? "1" : "any" } : {};
  const bounds = { min: schema.minimum, max: schema.maximum };
  return el("input.field-input", {
    type: TYPES[kind], value: entered, autocomplete: kind === "secret" ? "new-password" : "off", dir: kind === "text" ? "auto" : null, ...step,
    ...(kind === "number" && bounds), ...attributes,
  });
}
