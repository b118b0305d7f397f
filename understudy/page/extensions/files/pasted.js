/** A table or a long text that was pasted: it is attached as a file at once, and its user may have it in the message instead. */

import { el, setText } from "../../elements/dom.js";
import { icon } from "../../elements/icons.js";
import { t } from "../../client/messages.js";
import { isLong, pastedTable, toCsv, toMarkdown } from "./pasted_table.js";

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

  /** What was chosen stays; `focus`: the user goes on in the message. */
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
