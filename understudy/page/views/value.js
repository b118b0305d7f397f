/** Values of tools and charts: as a table where they are one, else as indented JSON. Always as text. */

import { copyButton } from "./copy.js";
import { el } from "./dom.js";
import { count } from "../client/format.js";

const MAX_ROWS = 100;
const MAX_TEXT = 20_000;

/** An element showing any JSON value. */
export function showValue(value) {
  const table = asTable(value);
  return table ? showTable(table) : showJson(value);
}

/** {columns, rows} of a value that is a list of records or says `columns` and `rows`; else null. */
export function asTable(value) {
  if (Array.isArray(value?.columns) && Array.isArray(value.rows)) {
    const columns = value.columns.map((column) => String(column?.name ?? column));
    const rows = value.rows.map((row) => (Array.isArray(row) ? row : columns.map((column) => row?.[column])));
    return { columns, rows };
  }
  const records = Array.isArray(value) && value.length > 0 && value.every((row) => row && typeof row === "object" && !Array.isArray(row));
  if (!records) return null;
  const columns = [...new Set(value.slice(0, MAX_ROWS).flatMap((row) => Object.keys(row)))];
  return { columns, rows: value.map((row) => columns.map((column) => row[column])) };
}

/** A table of text cells; numbers stand to the right; long tables are cut, and say so. */
export function showTable({ columns, rows }) {
  const numeric = columns.map((_, index) => typeof rows[0]?.[index] === "number");
  const body = rows.slice(0, MAX_ROWS).map((row) => el("tr", {}, columns.map((_, index) => (
    el(typeof row[index] === "number" ? "td.number" : "td", {}, cell(row[index]))
  ))));
  const table = el("table", {}, el("thead", {}, el("tr", {}, columns.map((column, index) => el(numeric[index] ? "th.number" : "th", { scope: "col" }, column)))), el("tbody", {}, body));
  const frame = el("div.table-frame", { tabIndex: 0, role: "region", "aria-label": "Table" }, table);
  if (rows.length <= MAX_ROWS) return frame;
  return el("div", {}, frame, el("p.hint", {}, `The first ${MAX_ROWS} of ${count(rows.length, "row")}.`));
}

/** Indented JSON (plain text stays plain) with a copy button. */
export function showJson(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "null";
  const cut = text.length > MAX_TEXT;
  const pre = el("pre", { tabIndex: 0 }, cut ? text.slice(0, MAX_TEXT) : text);
  return el("div.json", {}, copyButton(() => text, "Copy"), pre, cut && el("p.hint", {}, "Cut here. Copy gives all of it."));
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(10)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * A table as CSV with quoted fields where needed (RFC 4180). Text that a spreadsheet would take for a formula is shown
 * to it as text, by an apostrophe before it (OWASP, CSV injection); numbers stay numbers.
 */
export function csv({ columns, rows }) {
  const line = (fields) => fields.map((field) => {
    const text = inert(cell(field));
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }).join(",");
  return [columns, ...rows].map(line).join("\r\n");
}

function inert(text) {
  return /^[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? `'${text}` : text;
}
