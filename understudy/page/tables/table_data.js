/** Tables of tools and answers: read from values, and sorted. Pure. */

import { language } from "../client/messages.js";

const LOOKED_AT = 100; // rows whose members are columns

/** {columns, rows} of a value that is a list of records or says `columns` and `rows`; else null. */
export function asTable(value) {
  if (Array.isArray(value?.columns) && Array.isArray(value.rows)) {
    const columns = value.columns.map((column) => String(column?.name ?? column));
    const rows = value.rows.map((row) => (Array.isArray(row) ? row : columns.map((column) => row?.[column])));
    return { columns, rows };
  }
  const records = Array.isArray(value) && value.length > 0 && value.every((row) => row && typeof row === "object" && !Array.isArray(row));
  if (!records) return null;
  const columns = [...new Set(value.slice(0, LOOKED_AT).flatMap((row) => Object.keys(row)))];
  return { columns, rows: value.map((row) => columns.map((column) => row[column])) };
}

const SHOWN = new Set(["table", "drill_down"]); // kinds of results that are looked at as tables

/** The tables among the results of an answer: [{tool, table}]; a single row is told by the answer itself. */
export function resultTables(final) {
  const results = Array.isArray(final?.data?.results) ? final.data.results : [];
  return results.filter(({ kind }) => SHOWN.has(kind)).map(({ tool_name: tool, result }) => ({ tool, table: asTable(result) }))
    .filter(({ table }) => table !== null && table.rows.length > 1);
}

/** Returns the text of a cell. */
export function cellText(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(10)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const THOUSANDS = /^[+-]?\d{1,3}(?:[,\u00A0\u202F' ]\d{3})+(?:\.\d+)?$/;
const PLAIN = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/** The number that a cell is or writes, such as "1,234.50 €" or "−3 %"; null if it is none. */
export function numberOf(value) {
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value !== "string" || value.length > 40) return null;
  const text = value.trim().replace("\u2212", "-").replace(/^([+-]?)\p{Sc}\s?/u, "$1").replace(/\s?(?:%|\p{Sc}|[a-zµ]{1,3})$/iu, "");
  if (PLAIN.test(text)) return Number(text);
  return THOUSANDS.test(text) ? Number(text.replace(/[,\u00A0\u202F' ]/g, "")) : null;
}

const NOTHING = /^[\s\u2013\u2014-]*$/; // "–" stands for no value

/** A key by which cells are sorted: numbers first, then texts, then what is empty. */
function keyOf(value) {
  const number = numberOf(value);
  if (number !== null) return [0, number];
  const text = cellText(value);
  return NOTHING.test(text) ? [2, ""] : [1, text];
}

/**
 * `rows` by one column, "ascending" or "descending", as a new list; what is empty stays last, and what is equal in its
 * order. `cellOf(row)` gives the cell of a row.
 */
export function sorted(rows, cellOf, direction) {
  const { locale } = language();
  const sign = direction === "descending" ? -1 : 1;
  const compare = ([kind, a], [other, b]) => {
    if (kind !== other) return kind === 2 || other === 2 ? kind - other : sign * (kind - other);
    return kind === 0 ? sign * (a - b) : sign * String(a).localeCompare(String(b), locale, { numeric: true });
  };
  return rows.map((row) => ({ row, key: keyOf(cellOf(row)) })).toSorted((a, b) => compare(a.key, b.key)).map(({ row }) => row);
}

/** The direction after another press on a column's head: up, down, and as it came. */
export function nextDirection(direction) {
  return { none: "ascending", ascending: "descending", descending: "none" }[direction];
}
