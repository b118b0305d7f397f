/** A table that was pasted: it is attached as a file at once, and its user may have it in the message instead. */

import { el, setText } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "../client/messages.js";
import { pastedTable, toCsv, toMarkdown } from "../client/pasted_table.js";

export class PastedTable {
  /** `text` is the box of the message; `onChange()` is called when it was written in. */
  constructor(text, attachments, onChange) {
    Object.assign(this, { text, attachments, onChange, rows: null });
    this.title = el("p.pasted-title", { role: "status" });
    this.choices = new Map(["file", "markdown", "text"].map((way) => [way, el("button.secondary", { type: "button", "aria-pressed": "false", onclick: () => this.#choose(way) }, t(`pasted.as_${way}`))]));
    this.element = el("div.pasted", { role: "group", "aria-label": t("pasted.name"), hidden: true }, this.title, ...this.choices.values(),
      el("button.quiet.icon-button", { type: "button", title: t("action.dismiss"), "aria-label": t("action.dismiss"), onclick: () => this.hide(true) }, icon("close")));
  }

  /** Takes what is pasted if it is a table; returns whether it was. */
  take(clipboard) {
    const plain = clipboard.getData("text/plain");
    const rows = pastedTable(plain, /<table[\s>]/i.test(clipboard.getData("text/html")));
    if (rows === null) return false;
    Object.assign(this, { rows, plain, way: null, item: null, written: "" });
    setText(this.title, t("pasted.table", { rows: rows.length, columns: rows[0].length }));
    this.element.hidden = false;
    this.#choose("file");
    return true;
  }

  /** What was chosen stays; `focus`: the user goes on in the message. */
  hide(focus = false) {
    if (this.rows === null) return;
    Object.assign(this, { rows: null, plain: "", item: null });
    this.element.hidden = true;
    if (focus) this.text.focus();
  }

  #choose(way) {
    if (way === this.way) return;
    this.#takeBack();
    this.way = way;
    for (const [name, button] of this.choices) button.setAttribute("aria-pressed", String(name === way));
    if (way === "file") {
      const file = new File([toCsv(this.rows)], t("pasted.file_name"), { type: "text/csv" });
      [this.item] = this.attachments.add([file]);
      return;
    }
    this.#write(way === "markdown" ? `${toMarkdown(this.rows)}\n` : this.plain);
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
