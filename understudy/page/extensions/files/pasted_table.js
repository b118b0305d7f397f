/** What is pasted: a selection of a spreadsheet as its cells, as CSV and as a table of Markdown, or a long text. Pure. */

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
