/**
 * The open end of an answer that is being written: the server's preview of it, and, if that is late, the words after it.
 *
 * Text is held back until its preview is there, for `LATE_MS` at most: no raw markup is seen, and no silence.
 */

import { plainWords } from "../client/plain_words.js";
import { el } from "./dom.js";
import { morph } from "./morph.js";
import { showProse } from "./prose.js";
import { markRedactions } from "./redaction_marks.js";

const LATE_MS = 250;

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
    const due = this.since !== null && (ended || this.late !== "" || performance.now() - this.since >= LATE_MS);
    this.#render(due ? text : "");
    clearTimeout(this.timer);
    if (this.since !== null && !due) this.timer = setTimeout(() => this.#render(this.next.text), LATE_MS);
  }

  /** Ends the open block: it is `block`, {html}, and does not change any more. Returns its element, another's from now on. */
  close(block, redactions) {
    this.next = { preview: block, text: "", redactions };
    const { element } = this;
    element.classList.remove("is-open");
    this.html = null;
    this.#render("");
    this.clear(this.outlined);
    return element;
  }

  /** Begins anew, below headings of the ranks of `outline`. */
  clear(outline = []) {
    clearTimeout(this.timer);
    this.element = el("div.block.is-open", { hidden: true });
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
    morph(this.element, fresh);
    this.element.hidden = this.element.firstChild === null;
    Object.assign(this, { html: preview.html, late });
  }
}

/** Puts the words of a text behind what an element shows: within its last paragraph, item or code. */
function appendWords(element, text) {
  const code = element.lastElementChild?.matches(".code") ? element.lastElementChild.querySelector("code") : null;
  if (code) code.append(text.replace(/\n[ \t]*[`~]+$/, "\n"));
  else {
    const [first, ...rest] = plainWords(text).split(/\n{2,}/).filter((part) => part.trim() !== "");
    const last = [...element.querySelectorAll("p, li, h1, h2, h3, h4, h5, h6")].at(-1);
    if (last && first && !text.startsWith("\n")) last.append(first);
    else if (first) rest.unshift(first);
    element.append(...rest.map((part) => el("p", { dir: "auto" }, part)));
  }
}
