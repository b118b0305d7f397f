/** Attaches a pasted table or long text as a file at once, and offers to put it into the message instead. */

import { el, setText } from "../../elements/dom.js";
import { icon } from "../../elements/icons.js";
import { t } from "../../client/messages.js";

const WAYS = ["file", "message", "plain"];

export class Pasted {
  /** `text` is the box of the message; `onChange()` is called when it was written in. */
  constructor(text, attachments, onChange) {
    Object.assign(this, { text, attachments, onChange, plain: null });
    this.title = el("p.pasted-title", { role: "status" });
    this.choices = new Map(WAYS.map((way) => [way, el("button.secondary", { type: "button", "aria-pressed": "false", onclick: () => this.#choose(way) }, t(`pasted.as_${way}`))]));
    this.element = el("div.pasted", { role: "group", "aria-label": t("pasted.name"), hidden: true }, this.title, ...this.choices.values(),
      el("button.quiet.icon-button", { type: "button", title: t("action.dismiss"), "aria-label": t("action.dismiss"), onclick: () => this.hide(true) }, icon("close")));
  }

  /** Takes what is pasted if it is a table or long; returns whether it was. */
  take(clipboard) {
    const plain = clipboard.getData("text/plain");
    const rows = pastedTable(plain, /<table[\s>]/i.test(clipboard.getData("text/html")));
    if (rows === null && !isLong(plain)) return false;
    Object.assign(this, { rows, plain, way: null, item: null, written: "" });
    setText(this.title, rows ? t("pasted.table", { rows: rows.length, columns: rows[0].length }) : t("pasted.text", { lines: plain.trimEnd().split("\n").length }));
    this.choices.get("plain").hidden = rows === null; // a text in the message is plain
    this.element.hidden = false;
    this.#choose("file");
    return true;
  }

  /** Hides the offer, and keeps the choice. `focus`: moves the focus to the message. */
  hide(focus = false) {
    if (this.plain === null) return;
    Object.assign(this, { rows: null, plain: null, item: null });
    this.element.hidden = true;
    if (focus) this.text.focus();
  }

  #choose(way) {
    if (way === this.way) return;
    this.#takeBack();
    this.way = way;
    for (const [name, button] of this.choices) button.setAttribute("aria-pressed", String(name === way));
    if (way === "file") {
      const file = this.rows ? new File([toCsv(this.rows)], t("pasted.file_name"), { type: "text/csv" })
        : new File([this.plain], t("pasted.text_name"), { type: "text/plain" });
      [this.item] = this.attachments.add([file]);
      return;
    }
    this.#write(way === "message" && this.rows ? `${toMarkdown(this.rows)}\n` : this.plain);
  }

  /** Undoes the choice before, as far as its user has not changed it since. */
  #takeBack() {
    if (this.item) this.attachments.remove(this.item);
    const at = this.written === "" ? -1 : this.text.value.indexOf(this.written);
    if (at >= 0) this.text.setRangeText("", at, at + this.written.length, "end");
    Object.assign(this, { item: null, written: "" });
  }

  #write(text) {
    const { selectionStart, selectionEnd, value } = this.text;
    const before = value.slice(0, selectionStart);
    this.written = before === "" || before.endsWith("\n") ? text : `\n\n${text}`;
    this.text.setRangeText(this.written, selectionStart, selectionEnd, "end");
    this.onChange();
  }
}

// Pasted texts: a selection of a spreadsheet as its cells, as CSV and as a table of Markdown, or a long text.

const MAX_CHARACTERS = 1_000_000;
const MAX_ROWS = 20_000;
const MIN_CELLS = 4;
const LONG_CHARACTERS = 10_000; // about four pages
const LONG_LINES = 500; // Chromium takes 16 s to insert 3,000 lines into a text box, as long as the square of their number

/** Whether a text is better read as a file than in a message. */
export function isLong(text) {
  return text.length > LONG_CHARACTERS || text.split("\n", LONG_LINES + 1).length > LONG_LINES;
}

/**
 * The rows of a text whose cells are parted by tabs, as spreadsheets and tables of pages are copied; null for any other
 * text. `marked`: the clipboard says that it is a table. Indented code has tabs too, but not as many in each line.
 */
export function pastedTable(text, marked = false) {
  if (!text.includes("\t") || text.length > MAX_CHARACTERS) return null;
  const rows = cells(text.replace(/\r\n?/g, "\n").replace(/\n+$/, ""));
  const [{ length: columns }] = rows;
  if (rows.length < 2 || columns < 2 || rows.length > MAX_ROWS || rows.length * columns < MIN_CELLS) return null;
  const even = rows.every((row) => row.length === columns);
  const indented = rows.every(([first]) => first === "");
  if (marked) return rows.map((row) => [...row, ...Array(Math.max(columns - row.length, 0)).fill("")]);
  return even && !indented ? rows : null;
}

/** Cells that hold line ends or tabs are quoted, with their quotes doubled. */
function cells(text) {
  const rows = [[]];
  const pattern = /(?:"((?:[^"]|"")*)"(?=\t|\n|$)|([^\t\n]*))(\t|\n|$)/gy;
  while (pattern.lastIndex <= text.length) {
    const [, quoted, plain, end] = pattern.exec(text);
    rows.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === "\n") rows.push([]);
    if (end === "") break;
  }
  return rows;
}

/** The rows as CSV, each cell as it is: for programs, not for a spreadsheet. */
export function toCsv(rows) {
  const field = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return rows.map((row) => `${row.map(field).join(",")}\n`).join("");
}

/** The rows as a table of Markdown, the first as its heads. */
export function toMarkdown([heads, ...rows]) {
  const line = (row) => `| ${row.map((text) => text.replace(/[\\|]/g, "\\$&").replace(/\s*\n\s*/g, " ").trim() || " ").join(" | ")} |`;
  return [line(heads), `|${" --- |".repeat(heads.length)}`, ...rows.map(line)].join("\n");
}
