/**
 * A form as a function of its JSON schema: its fields, and the answer made of what was entered. Pure.
 *
 * The server checks every answer again; a page only says earlier what would be refused.
 */

import { t } from "../client/messages.js";

/**
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {string} description
 * @property {"text"|"secret"|"lines"|"number"|"flag"|"choice"|"date"|"moment"|"list"|"several"|"group"|"json"} kind
 * @property {boolean} required
 * @property {boolean} nullable null is a value; an empty field is sent as null if it must be sent
 * @property {unknown[]} options of a choice, and of several
 * @property {Field[]} fields of a group, which is an object in the form
 * @property {unknown} initial what is entered at the beginning, null for nothing
 * @property {object} schema of the value
 */

const DEPTH = 3; // groups within groups; deeper ones are JSON
const LONG = 200; // a text that may have more characters gets several lines

/** The fields of an object's schema, in order; `values`, unless null, take the place of their defaults. @returns {Field[]} */
export function fieldsOf(schema, values = null, depth = 0) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, given]) => {
    const [inner, nullable] = withoutNull(given);
    const kind = kindOf(inner, depth);
    const initial = values === null || (kind === "flag" && !Object.hasOwn(values, name)) ? given.default ?? null : values[name] ?? null;
    return {
      name, label: given.title ?? inner.title ?? labelOf(name), description: given.description ?? inner.description ?? "",
      kind: kind === "text" && /\n|^.{80}/.test(initial ?? "") ? "lines" : kind, required: required.has(name), nullable, options: inner.enum ?? inner.items?.enum ?? (Object.hasOwn(inner, "const") ? [inner.const] : []),
      fields: kind === "group" ? fieldsOf(inner, initial, depth + 1) : [], initial, schema: inner,
    };
  });
}

/** Returns what a control shows for a value: a boolean for a flag, indexes of options for a choice of several, else a text. */
export function enteredFor({ kind, options }, value) {
  if (kind === "several") return options.flatMap((one, index) => ((value ?? []).includes(one) ? [index] : []));
  if (kind === "flag") return value === true;
  if (value === null || value === undefined) return "";
  if (kind === "choice") return String(options.findIndex((one) => one === value));
  if (kind === "list") return value.join("\n");
  if (kind === "json") return JSON.stringify(value, null, 2);
  return String(value);
}

/**
 * {value}, {error: a sentence}, {errors: by name} of a group, or {} for a field that is left out. `entered` is as
 * `enteredFor` gives it; of a group it is what was entered in its fields, by name.
 */
export function readField(field, entered) {
  const { kind, schema, required, nullable, options } = field;
  if (kind === "flag") return { value: entered };
  if (kind === "group") return readGroup(field, entered);
  if (kind === "several") return readSeveral(field, entered);
  const text = kind === "text" || kind === "lines" || kind === "secret" ? entered : entered.trim();
  if (text === "" || (kind === "choice" && text === "-1")) return emptyField();
  switch (kind) {
    case "choice":
      return { value: options[Number(text)] };
    case "number":
      return readNumber(schema, text);
    case "list": {
      const value = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
      const error = countError(schema, value.length);
      return error ? { error } : { value };
    }
    case "json":
      try {
        return { value: JSON.parse(text) };
      } catch {
        return { error: t("form.not_json") };
      }
    default:
      return textError(schema, text) ?? { value: text };
  }

  function emptyField() {
    if (required && nullable) return { value: null };
    return required ? { error: t(kind === "choice" ? "form.choose_one" : "form.fill_in") } : {};
  }
}

/** {answer} of what was entered, by name, or {errors}: a sentence for each field that is wrong; of a group, its errors. */
export function readForm(fields, entered) {
  const [answer, errors] = [{}, {}];
  for (const field of fields) {
    const { value, error, errors: within } = readField(field, entered[field.name]);
    if (error ?? within) errors[field.name] = error ?? within;
    else if (value !== undefined) answer[field.name] = value;
  }
  return Object.keys(errors).length > 0 ? { errors } : { answer };
}

/** A group that may be left out is, when nothing was entered in it. */
function readGroup({ fields, required, nullable }, entered) {
  const empty = fields.every(({ name, kind, options }) => [enteredFor({ kind, options }, null), false].some((nothing) => same(entered[name], nothing)));
  if (empty && !required) return {};
  if (empty && nullable) return { value: null };
  const { answer, errors } = readForm(fields, entered);
  return errors ? { errors } : { value: answer };
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

function readSeveral({ schema, required, options }, entered) {
  if (entered.length === 0 && !required) return {};
  const error = countError(schema, entered.length, "choices");
  return error ? { error } : { value: entered.map((index) => options[index]) };
}

/** The field that a refusal names, `city` in "The field `city` is wrong: …"; null when it names none of these. */
export function namedField(fields, message) {
  const named = /`([^`.[]+)/.exec(message)?.[1];
  return fields.find((field) => field.name === named) ?? null;
}

function withoutNull(schema) {
  if (!Array.isArray(schema.anyOf)) return [schema, schema.type === "null"];
  const others = schema.anyOf.filter((one) => one.type !== "null");
  const nullable = others.length < schema.anyOf.length;
  return others.length === 1 ? [{ ...schema, ...others[0] }, nullable] : [schema, nullable];
}

function kindOf(schema, depth) {
  if (schema.enum || Object.hasOwn(schema, "const")) return "choice";
  if (schema.type === "boolean") return "flag";
  if (schema.type === "integer" || schema.type === "number") return "number";
  if (schema.type === "array" && Array.isArray(schema.items?.enum)) return "several";
  if (schema.type === "object" && Object.keys(schema.properties ?? {}).length > 0 && depth < DEPTH) return "group";
  if (schema.type === "array" && schema.items?.type === "string") return "list";
  if (schema.type !== "string") return "json";
  if (schema.format === "password") return "secret";
  if (schema.format === "date") return "date";
  if (schema.format === "date-time") return "moment";
  return schema.format === "multiline" || schema.maxLength > LONG ? "lines" : "text";
}

function labelOf(name) {
  const words = name.replace(/_+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function readNumber(schema, text) {
  const value = Number(text);
  if (!Number.isFinite(value)) return { error: t("form.number") };
  if (schema.type === "integer" && !Number.isInteger(value)) return { error: t("form.whole") };
  if (schema.minimum !== undefined && value < schema.minimum) return { error: t("form.at_least", { number: schema.minimum }) };
  if (schema.maximum !== undefined && value > schema.maximum) return { error: t("form.at_most", { number: schema.maximum }) };
  if (schema.exclusiveMinimum !== undefined && value <= schema.exclusiveMinimum) return { error: t("form.more_than", { number: schema.exclusiveMinimum }) };
  if (schema.exclusiveMaximum !== undefined && value >= schema.exclusiveMaximum) return { error: t("form.less_than", { number: schema.exclusiveMaximum }) };
  return { value };
}

function textError(schema, text) {
  const length = [...text].length;
  if (length < (schema.minLength ?? 0)) return { error: t("form.min_characters", { count: schema.minLength }) };
  if (length > (schema.maxLength ?? Infinity)) return { error: t("form.max_characters", { count: schema.maxLength }) };
  return null; // a pattern is the server's to check: its expressions are not JavaScript's
}

function countError(schema, count, what = "lines") {
  if (count < (schema.minItems ?? 0)) return t(`form.min_${what}`, { count: schema.minItems });
  return count > (schema.maxItems ?? Infinity) ? t(`form.max_${what}`, { count: schema.maxItems }) : null;
}
