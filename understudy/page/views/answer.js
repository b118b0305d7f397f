/** An answer while it is written and when it is finished: closed blocks as prose, the open tail as plain text. */

import { el } from "./dom.js";
import { showProse } from "./prose.js";
import { markRedactions, nodesOf, redactionPattern } from "./redaction_marks.js";
import { openTail } from "../client/stream.js";

export class AnswerView {
  constructor() {
    this.tail = document.createTextNode("");
    this.tailBox = el("p.tail", {}, this.tail);
    this.element = el("div.prose", { hidden: true });
    this.shown = 0; // closed blocks in the page
    this.first = null; // the first block shown: another one means that the text began anew
    this.final = null;
  }

  update({ stream, final, steps }) {
    if (steps !== this.steps) this.redactions = redactionPattern(steps.flatMap((step) => step.found ?? []));
    this.steps = steps;
    if (final) this.#finish(final, stream);
    else this.#grow(stream);
  }

  #grow(stream) {
    this.element.hidden = stream.text === "";
    if (stream.text === "") return;
    if (this.first !== (stream.blocks[0] ?? null) && this.shown > 0) this.#clear();
    if (!this.tailBox.isConnected) this.element.append(this.tailBox);
    for (const block of stream.blocks.slice(this.shown)) {
      const box = el("div.block");
      showProse(box, block.html);
      markRedactions(box, this.redactions);
      this.tailBox.before(box);
    }
    this.first = stream.blocks[0] ?? null;
    this.shown = stream.blocks.length;
    this.#setTail(openTail(stream));
  }

  /** Long tails grow at their end instead of being replaced. */
  #setTail(tail) {
    const text = tail.replace(/^\n+/, "");
    const before = this.tail.data;
    if (text === before) return;
    if (text.length > before.length && text.startsWith(before)) this.tail.appendData(text.slice(before.length));
    else this.tail.data = text;
    this.tailBox.hidden = text.trim() === "";
  }

  #finish(final, stream) {
    if (final === this.final) return;
    this.final = final;
    if (!final.html && stream.blocks.length > 0 && (final.message || stream.text) === stream.text) {
      this.#grow(stream); // what was streamed is the whole answer, and rendered already
      markRedactions(this.element, this.redactions);
      return;
    }
    const text = final.message || stream.text;
    this.element.hidden = text === "" && !final.html;
    this.#clear();
    if (final.html) {
      const box = el("div.block");
      showProse(box, final.html);
      markRedactions(box, this.redactions);
      this.element.append(box);
    } else {
      this.element.append(el("p.tail", {}, nodesOf(text, this.redactions)));
    }
  }

  #clear() {
    this.element.replaceChildren();
    this.shown = 0;
  }
}
