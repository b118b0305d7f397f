/** A table of rows that change while they are looked at: a row keeps its element, and so its focus, by its key. */

import { sorted } from "../tables/table_data.js";
import { arrange, el, setText } from "../elements/dom.js";

export class Table {
  /**
   * `columns`: [{title, text(row), number, wraps, order(row), alarm(row)}]; the first column is the row's header and, with
   * `onPick(row)`, a button. `key(row)` names a row. `caption` is read out before the table, `none` stands for no rows.
   * `acts`: [{label, fits(row), onAct(row)}], buttons at the end of the rows that they fit.
   */
  constructor({ columns, key, caption, none, onPick = null, acts = [] }) {
    Object.assign(this, { columns, key, onPick, acts });
    this.rows = [];
    this.lines = new Map();
    this.sorted = null; // {at, down} once a person has chosen
    this.heads = columns.map((column, at) => el("th", { scope: "col", class: column.number ? "number" : null },
      el("button.sort", { type: "button", onclick: () => this.#sortBy(at) }, column.title)));
    this.body = el("tbody");
    this.table = el("table.rows", {}, el("caption.offscreen", {}, caption), el("thead", {}, el("tr", {}, this.heads, acts.length > 0 && el("td"))), this.body);
    this.none = el("p.hint.none", { hidden: true }, none); // until rows were read, that is not known
    this.element = el("div.rows-frame", { tabIndex: 0, role: "region", "aria-label": caption }, this.table, this.none);
  }

  show(rows) {
    this.rows = rows;
    this.none.hidden = rows.length > 0;
    this.table.hidden = rows.length === 0;
    const keys = new Set(rows.map(this.key));
    for (const key of [...this.lines.keys()]) if (!keys.has(key)) this.lines.delete(key);
    arrange(this.body, this.#ordered().map((row) => this.#line(row)));
  }

  #line(row) {
    const key = this.key(row);
    let line = this.lines.get(key);
    if (!line) {
      const cells = this.columns.map((column, at) => this.#cell(column, at, key));
      const buttons = this.acts.map(({ label, onAct }) => el("button.link", { type: "button", onclick: () => onAct(this.lines.get(key).row) }, label));
      line = { cells, buttons, element: el("tr", {}, cells.map(({ cell }) => cell), buttons.length > 0 && el("td.row-acts", {}, buttons)) };
      this.lines.set(key, line);
    }
    line.row = row;
    line.cells.forEach(({ cell, text }, at) => {
      const column = this.columns[at];
      setText(text, String(column.text(row) ?? ""));
      cell.classList.toggle("alarm", Boolean(column.alarm?.(row)));
    });
    line.buttons.forEach((button, at) => { button.hidden = this.acts[at].fits?.(row) === false; });
    return line.element;
  }

  #cell(column, at, key) {
    const kind = column.number ? "number" : null;
    if (at > 0) {
      const cell = el("td", column.wraps ? { class: "wraps", dir: "auto" } : { class: kind });
      return { cell, text: cell };
    }
    const text = this.onPick ? el("button.link", { type: "button", onclick: () => this.onPick(this.lines.get(key).row) }) : el("span");
    return { cell: el("th", { scope: "row", class: kind }, text), text };
  }

  #ordered() {
    if (!this.sorted) return this.rows;
    const { at, down } = this.sorted;
    const column = this.columns[at];
    const value = column.order ?? column.text;
    return sorted(this.rows, value, down ? "descending" : "ascending");
  }

  #sortBy(at) {
    const down = this.sorted?.at === at ? !this.sorted.down : Boolean(this.columns[at].number);
    this.sorted = { at, down };
    this.heads.forEach((head, each) => {
      if (each === at) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.show(this.rows);
  }
}
