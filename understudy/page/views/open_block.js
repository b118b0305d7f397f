/**
 * The open end of an answer that is being written: the server's preview of it.
 *
 * Text is never ahead of its preview, so no raw markup is seen, however late that comes. Only if none has come for `LOST_MS`
 * are the words shown without it, so that there is no silence: previews may be lost, text may not.
 */

import { plainParts } from "../client/plain_words.js";
import { el } from "./dom.js";
import { morph } from "./morph.js";
import { frameCode, showProse } from "./prose.js";
import { markRedactions } from "./redaction_marks.js";
import { tableAbove } from "./tables.js";

const LOST_MS = 5_000; // far longer than a preview takes on a machine that is busy

export class OpenBlock {
  constructor() {
    this.timer = null;
    this.clear();
  }

  /** `preview` is {html}, made by the server; `text` is what follows it. `ended`: no preview comes any more. */
  show(preview, text, redactions, { ended = false } = {}) {
    const progress = preview.html !== this.html;
    this.next = { preview, text, redactions };
    if (text.trim() === "") this.since = null;
    else if (progress || this.since === null) this.since = performance.now();
    const left = this.since === null ? Infinity : this.since + LOST_MS - performance.now();
    this.#render(ended || left <= 0 ? text : "");
    clearTimeout(this.timer);
    if (left > 0 && left < Infinity && !ended) this.timer = setTimeout(() => this.#render(this.next.text), left);
  }

  /** Ends the open block: it is `block`, {html}, and does not change any more. Returns its element, another's from now on. */
  close(block, redactions) {
    this.next = { preview: block, text: "", redactions };
    const { element } = this;
    element.classList.remove("is-open");
    this.html = null;
    this.#render("");
    this.rows?.classList.remove("is-open");
    this.clear(this.outlined);
    return element;
  }

  /** Begins anew, below headings of the ranks of `outline`. */
  clear(outline = []) {
    clearTimeout(this.timer);
    this.element = el("div.block.is-open", { hidden: true });
    this.rows = null; // those in the table above, with which the block goes on
    this.html = "";
    this.late = "";
    this.since = null; // when the oldest text came that is not shown
    this.outline = outline;
    this.outlined = outline; // with the headings of this block
  }

  #render(late) {
    const { preview, redactions } = this.next;
    if (preview.html === this.html && late === this.late) return;
    const fresh = el("div");
    this.outlined = [...this.outline];
    showProse(fresh, preview.html, { grows: this.element.classList.contains("is-open"), outline: this.outlined });
    if (late !== "") appendWords(fresh, late);
    markRedactions(fresh, redactions);
    this.#joinRows(fresh);
    morph(this.element, fresh);
    this.element.hidden = this.element.firstElementChild === null;
    Object.assign(this, { html: preview.html, late });
  }

  /** Shows the rows of a table that goes on where it began, so that its columns stay as wide as they are. */
  #joinRows(fresh) {
    const table = fresh.firstElementChild?.querySelector("table.continued");
    const above = table && tableAbove(this.element);
    if (!above) {
      this.rows?.remove();
      this.rows = null;
      return;
    }
    const rows = el("tbody", {}, [...table.rows].filter((row) => row.parentElement !== table.tHead));
    fresh.firstElementChild.remove();
    if (this.rows) morph(this.rows, rows);
    else above.append(this.rows = rows);
    this.rows.classList.add("is-open");
  }
}

/** Puts the words of a text behind what an element shows: within its last paragraph, item or code. */
function appendWords(element, text) {
  const code = element.lastElementChild?.matches(".code") ? element.lastElementChild.querySelector("code") : null;
  const parts = plainParts(text, code !== null);
  const last = [...element.querySelectorAll("p, li, h1, h2, h3, h4, h5, h6")].at(-1);
  if (code && parts[0]?.language === null) code.append(parts.shift().code);
  else if (last && !text.startsWith("\n") && parts[0]?.words) last.append(...parts.shift().words.map(wordOf));
  const rest = el("div");
  for (const part of parts) {
    if (part.words) rest.append(el("p", { dir: "auto" }, part.words.map(wordOf)));
    else rest.append(el("div.highlight", {}, part.language && el("span.language", {}, part.language), el("pre", {}, el("code", {}, part.code))));
  }
  rest.querySelectorAll("pre").forEach(frameCode);
  element.append(...rest.childNodes);
}

const wordOf = ({ text, code }) => (code ? el("code", {}, text) : text);
