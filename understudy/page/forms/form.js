/** The controls of a form: one a field, each with its label, its description and its error. `LazyFields` loads them. */

import { enteredFor, fieldsOf, namedField, readForm } from "./fields.js";
import { t } from "../client/messages.js";
import { el, freshId, setText } from "../elements/dom.js";

const TYPES = Object.freeze({ text: "text", secret: "password", number: "number", date: "date", moment: "datetime-local" });
const FORMATS = Object.freeze({ email: "email", uri: "url" }); // a phone has keys for them

export class FormFields {
  /**
   * `schema` is that of an object; `values`, unless null, take the place of its defaults. With `files`, {upload(file), known: names by id},
   * a field for a table chooses a file.
   */
  constructor(schema, values = null, files = null) {
    this.fields = fieldsOf(schema, values);
    this.controls = controlsOf(this.fields, files);
    this.elements = [...this.controls.values()].map(({ element }) => element);
  }

  /** The answer; null when something is wrong, which then stands at its field, and the first such field has the focus. */
  read() {
    const { answer = null, errors = {} } = readForm(this.fields, enteredIn(this.controls));
    markAll(this.controls, errors);
    focusFirst(this.controls, errors);
    return answer;
  }

  /** Shows a refusal of the server at the field that it names. Returns false when it names none. */
  refuse(message) {
    const field = namedField(this.fields, message);
    if (!field) return false;
    const control = this.controls.get(field.name);
    control.mark(message.replace(/^The field `[^`]*` (?:is wrong: )?/, "").replace(/^\p{Ll}/u, (letter) => letter.toUpperCase()));
    control.focus();
    return true;
  }

  focus() {
    this.controls.get(this.fields[0]?.name)?.focus();
  }

  set disabled(disabled) {
    for (const control of this.controls.values()) control.disable(disabled);
  }
}

/** The controls by name: each {element, read(), mark(error), focus(errors), disable(disabled)}. */
function controlsOf(fields, files = null) {
  const maker = (field) => (files !== null && field.schema.format === "table-id" ? table : MAKERS[field.kind] ?? single);
  return new Map(fields.map((field) => [field.name, maker(field)(field, files)]));
}

function enteredIn(controls) {
  return Object.fromEntries([...controls].map(([name, control]) => [name, control.read()]));
}

function markAll(controls, errors) {
  for (const [name, control] of controls) control.mark(errors[name] ?? "");
}

function focusFirst(controls, errors) {
  const wrong = [...controls].find(([name]) => Object.hasOwn(errors, name));
  wrong?.[1].focus(errors[wrong[0]]);
}

/** An error's place below a field, and how it is set. */
function errorOf(id) {
  const error = el("p.field-error", { id, hidden: true });
  const show = (text, inputs) => {
    setText(error, text);
    error.hidden = text === "";
    for (const input of inputs) {
      if (text === "") input.removeAttribute("aria-invalid");
      else input.setAttribute("aria-invalid", "true");
    }
  };
  return { error, show };
}

function single(field) {
  const [id, hintId, errorId] = [freshId("field"), freshId("hint"), freshId("wrong")];
  const described = field.description ? `${hintId} ${errorId}` : errorId;
  const input = inputOf(field, { id, "aria-describedby": described, "aria-required": field.required ? "true" : null });
  const { error, show } = errorOf(errorId);
  const label = el("label.field-label", { for: id }, field.label, notesOf(field));
  const hint = field.description ? el("p.field-hint", { id: hintId }, field.description) : null;
  const first = field.kind === "flag" ? el("div.field-flag", {}, input, label) : label;
  return {
    element: el("div.field", {}, first, hint, field.kind === "flag" ? null : input, error),
    read: () => (field.kind === "flag" ? input.checked : input.value),
    mark: (text) => show(text, [input]),
    focus: () => input.focus({ preventScroll: false }),
    disable: (disabled) => { input.disabled = disabled; },
  };
}

/** Boxes to check, any number of them. */
function several(field) {
  const [hintId, errorId] = [freshId("hint"), freshId("wrong")];
  const chosen = new Set(enteredFor(field, field.initial));
  const boxes = field.options.map((_, index) => el("input", { type: "checkbox", checked: chosen.has(index), "aria-describedby": errorId }));
  const { error, show } = errorOf(errorId);
  const options = boxes.map((box, index) => el("label.field-option", {}, box, field.options[index] === null ? t("form.null") : String(field.options[index])));
  const element = el("fieldset.field.field-group", { "aria-describedby": field.description ? hintId : null },
    el("legend.field-label", {}, field.label, notesOf(field)), field.description && el("p.field-hint", { id: hintId }, field.description),
    el("div.field-options", {}, options), error);
  return {
    element,
    read: () => boxes.flatMap((box, index) => (box.checked ? [index] : [])),
    mark: (text) => show(text, boxes),
    focus: () => boxes[0]?.focus({ preventScroll: false }),
    disable: (disabled) => { element.disabled = disabled; },
  };
}

/** The fields of an object, together. */
function group(field) {
  const [hintId, errorId] = [freshId("hint"), freshId("wrong")];
  const controls = controlsOf(field.fields);
  const { error, show } = errorOf(errorId);
  const element = el("fieldset.field.field-group", { "aria-describedby": field.description ? `${hintId} ${errorId}` : errorId },
    el("legend.field-label", {}, field.label, notesOf(field)), field.description && el("p.field-hint", { id: hintId }, field.description),
    el("div.fields", {}, [...controls.values()].map((control) => control.element)), error);
  const whole = (errors) => typeof errors === "string";
  return {
    element,
    read: () => enteredIn(controls),
    mark: (errors) => {
      show(whole(errors) ? errors : "", []);
      markAll(controls, whole(errors) ? {} : errors);
    },
    focus: (errors = "") => (whole(errors) ? [...controls.values()][0]?.focus() : focusFirst(controls, errors)),
    disable: (disabled) => { element.disabled = disabled; },
  };
}

/** A file that is uploaded when it is chosen. */
function table(field, { upload, known }) {
  const [id, hintId, errorId] = [freshId("field"), freshId("hint"), freshId("wrong")];
  let chosen = enteredFor(field, field.initial);
  const name = el("p.field-hint", { role: "status" }, known.get(chosen) ?? "");
  const { error, show } = errorOf(errorId);
  const input = el("input.field-input", { id, type: "file", accept: ".csv,.tsv,.json,.jsonl,.ndjson,.parquet", "aria-describedby": `${hintId} ${errorId}`, "aria-required": field.required ? "true" : null });
  input.addEventListener("change", async () => {
    const [file] = input.files;
    chosen = "";
    show("", [input]);
    if (!file) return;
    setText(name, t("form.uploading", { name: file.name }));
    const { id: uploaded = "", fault } = await upload(file).catch((error) => ({ fault: error }));
    if (input.files[0] !== file) return; // another one was chosen meanwhile
    chosen = uploaded;
    setText(name, fault ? "" : file.name);
    if (fault) show(fault.message, [input]);
  });
  return {
    element: el("div.field", {}, el("label.field-label", { for: id }, field.label, notesOf(field)), el("p.field-hint", { id: hintId }, field.description), input, name, error),
    read: () => chosen,
    mark: (text) => show(text, [input]),
    focus: () => input.focus({ preventScroll: false }),
    disable: (disabled) => { input.disabled = disabled; },
  };
}

const MAKERS = Object.freeze({ several, group });

function notesOf({ kind, required }) {
  const notes = [(kind === "list" || kind === "json") && t(`form.${kind}`), !required && kind !== "flag" && t("form.optional")].filter(Boolean);
  return el("span.field-optional", {}, notes.map((note) => ` ${note}`));
}

function inputOf(field, attributes) {
  const { kind, schema } = field;
  const entered = enteredFor(field, field.initial);
  if (kind === "flag") return el("input", { type: "checkbox", checked: entered, ...attributes });
  if (kind === "choice") {
    const none = field.required && field.initial !== null ? null : el("option", { value: "" }, t(field.required ? "form.choose" : "form.no_choice"));
    const options = field.options.map((option, index) => el("option", { value: String(index) }, option === null ? t("form.null") : String(option)));
    const select = el("select.field-input", attributes, none, options);
    select.value = entered;
    return select;
  }
  if (kind === "lines" || kind === "list" || kind === "json") {
    return el("textarea.field-input", { value: entered, rows: 4, dir: "auto", spellcheck: kind !== "json", ...attributes });
  }
  const step = kind === "number" ? { step: schema.type === "integer" ? "1" : "any", inputMode: schema.type === "integer" && !(schema.minimum < 0) ? "numeric" : "decimal" } : {};
  const bounds = { min: schema.minimum, max: schema.maximum };
  return el("input.field-input", {
    type: (kind === "text" && FORMATS[schema.format]) || TYPES[kind], value: entered, autocomplete: kind === "secret" ? "new-password" : "off", dir: kind === "text" ? "auto" : null, ...step,
    ...(kind === "number" && bounds), ...attributes,
  });
}
