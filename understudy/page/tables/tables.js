/** Tables on the screen: each scrolls by itself, is sorted by its heads, and is saved as CSV. */

import { el, saveAs } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { cellText, nextDirection, numberOf, sorted, asTable } from "./table_data.js";
import { t } from "../client/messages.js";
import { copyButton } from "../elements/copy.js";

const MAX_ROWS = 100;
const SHORT = 28; // characters of a cell that is not broken: a date, a number, a name
const NAMED = 60; // characters of a name made of columns

/** A value's table: its cells as text, numbers to the right; a long one is cut, and says so. `saves`: with a download. */
export function showTable({ columns, rows }, { name = nameOf(columns), saves = true } = {}) {
  const numeric = columns.map((_, index) => rows.slice(0, MAX_ROWS).some((row) => row[index] !== null && row[index] !== undefined)
    && rows.slice(0, MAX_ROWS).every((row) => [null, undefined, ""].includes(row[index]) || numberOf(row[index]) !== null));
  const body = el("tbody");
  const fill = (ordered) => body.replaceChildren(...ordered.slice(0, MAX_ROWS).map((row) => el("tr", {}, columns.map((_, index) => cell(cellText(row[index]), numeric[index])))));
  const heads = columns.map((column, index) => el(numeric[index] ? "th.number" : "th", { scope: "col" }, column));
  const table = el("table", {}, el("thead", {}, el("tr", {}, heads)), body);
  fill(rows);
  if (rows.length > 1) sortBy(heads, (index, direction) => fill(direction === "none" ? rows : sorted(rows, (row) => row[index], direction)));
  return framed(table, name, rows.length > MAX_ROWS && t("value.first_rows", { shown: MAX_ROWS, count: rows.length }),
    saves && rows.length > 1 && (() => ({ columns, rows })));
}

function cell(text, number) {
  const classes = ["td", ...(number ? ["number"] : []), ...(text.length <= SHORT ? ["is-short"] : [])];
  return el(classes.join("."), {}, text);
}

/**
 * Frames a table of an answer where it stands, with its heads to sort by. `grows`: rows are still to come, and the frame
 * does not change with them. What the buttons do is asked of the table around them then.
 */
export function frameTable(table, { grows = false } = {}) {
  const heads = [...table.tHead?.rows[0]?.cells ?? []];
  const many = grows || (table.tBodies[0]?.rows.length ?? 0) > 1;
  for (const one of table.querySelectorAll("td")) if (one.textContent.length <= SHORT) one.classList.add("is-short");
  const columns = heads.map((head) => head.textContent);
  const mark = el("span");
  table.replaceWith(mark);
  if (many) sortBy(heads, (index, direction, head) => arrangeRows(head.closest("table"), index, direction));
  mark.replaceWith(framed(table, nameOf(columns), null, many && ((button) => contentOf(button.closest(".table-card").querySelector("table")))));
}

/** Joins the tables of `container` that go on with the one before them, as long ones come: they are one on the screen. */
export function joinTables(container) {
  for (const table of container.querySelectorAll("table.continued")) {
    const before = table.previousElementSibling;
    if (!before?.matches("table")) continue;
    before.append(...table.tBodies);
    table.remove();
  }
}

/** The table at the end of what stands before `box`, a block of an answer, or null. */
export function tableAbove(box) {
  let above = box.previousElementSibling;
  while (above?.hidden) above = above.previousElementSibling; // its rows are in the table before it
  return above?.lastElementChild?.matches(".table-card, .table-frame") ? above.lastElementChild.querySelector("table") : null;
}

const arrived = new WeakMap(); // row -> its place before it was sorted

/** The rows of a table, without those that may still change. */
const rowsOf = (table) => [...table.querySelectorAll(":scope > tbody:not(.is-open) > tr")];

function arrangeRows(table, index, direction) {
  const rows = rowsOf(table);
  rows.forEach((row, place) => arrived.has(row) || arrived.set(row, place));
  const asCame = rows.toSorted((one, other) => arrived.get(one) - arrived.get(other));
  table.tBodies[0]?.append(...(direction === "none" ? asCame : sorted(asCame, (row) => row.cells[index]?.textContent ?? "", direction)));
}

function contentOf(table) {
  const texts = (row) => [...row.cells].map((one) => one.textContent);
  const rows = rowsOf(table);
  const place = (row) => arrived.get(row) ?? rows.length;
  rows.sort((one, other) => place(one) - place(other));
  return { columns: texts(table.tHead.rows[0]), rows: rows.map(texts) };
}

function framed(table, name, note, given) {
  const frame = el("div.table-frame", { tabIndex: 0, role: "group", "aria-label": name, dir: "auto" }, table);
  if (!note && !given) return frame;
  return el("div.table-card", {}, frame, el("div.table-foot", {}, el("span", {}, note || ""), given && saveButton(name, given)));
}

export function saveButton(name, given) {
  const label = t("chart.download", { format: "CSV" });
  return el("button.quiet.table-save", { type: "button", title: label, "aria-label": label, onclick: async ({ currentTarget }) => {
    const { csv } = await import("./csv.js");
    saveAs(new Blob([csv(given(currentTarget))], { type: "text/csv;charset=utf-8" }), `${fileName(name)}.csv`);
  } }, icon("download"), "CSV");
}

/** Makes a button of each head; `onSort(index, direction, head)` puts the rows in order. */
function sortBy(heads, onSort) {
  heads.forEach((head, index) => {
    if (head.textContent.trim() === "") return;
    head.setAttribute("aria-sort", "none");
    head.replaceChildren(el("button.sort-head", { type: "button", onclick: () => {
      const direction = nextDirection(head.getAttribute("aria-sort"));
      for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", direction);
      onSort(index, direction, head);
    } }, ...head.childNodes, icon("sort")));
  });
}

/** A table is named by its columns, so that no two are both "Table". */
function nameOf(columns) {
  const names = columns.filter((column) => column.trim() !== "").join(", ");
  if (names === "") return t("value.table");
  return t("value.table_of", { columns: names.length > NAMED ? `${names.slice(0, NAMED - 1)}…` : names });
}

export function fileName(name) {
  return name.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, "-").replaceAll(/^-|-$/g, "").slice(0, 60) || "table";
}

// Values of tools: tables where they hold some, else as indented JSON. Always as text.

const MAX_TEXT = 20_000;
const MAX_TABLES = 6;

/** An element showing any JSON value. */
export function showValue(value) {
  const table = asTable(value);
  if (table) return showTable(table);
  const tables = value && typeof value === "object" && !Array.isArray(value)
    ? Object.entries(value).map(([name, member]) => [name, asTable(member)]).filter(([, found]) => found) : [];
  if (tables.length === 0 || tables.length > MAX_TABLES) return showJson(value);
  const names = new Set(tables.map(([name]) => name));
  const rest = Object.entries(value).filter(([name]) => !names.has(name));
  return el("div.value-parts", {}, rest.length > 0 && showJson(Object.fromEntries(rest)),
    tables.map(([name, found]) => [el("h5", {}, name), showTable(found, { name })]));
}

/** Indented JSON (plain text stays plain) with a copy button. */
export function showJson(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "null";
  const cut = text.length > MAX_TEXT;
  const pre = el("pre", { tabIndex: 0 }, cut ? text.slice(0, MAX_TEXT) : text);
  return el("div.json", {}, copyButton(() => text, t("value.copy")), pre, cut && el("p.hint", {}, t("value.cut")));
}
