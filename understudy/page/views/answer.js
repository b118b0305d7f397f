/** An answer while it is written and when it is finished: blocks that do not change, and the open one at the end. */

import { el } from "./dom.js";
import { OpenBlock } from "./open_block.js";
import { followNote, placeBlock, showProse } from "./prose.js";
import { markRedactions, redactionPattern } from "./redaction_marks.js";
import { skipUnseen } from "./skip.js";
import { openPreview, wholeHtml } from "../client/stream.js";
import { LIVE } from "../client/turns.js";

const SLICE_MS = 8; // for making blocks in one frame: what the browser does with them takes twice as long
const SLICE_UNITS = 6_000; // of HTML that are made in a frame in any case, so that a busy computer keeps up, too

export class AnswerView {
  /** `picture(id)` gives the address of the picture in one of the user's files, or rejects. */
  constructor(picture = null) {
    this.picture = picture;
    this.element = el("div.prose", { hidden: true, onclick: (event) => followNote(this.element, event) });
    this.open = new OpenBlock();
    this.blocks = []; // the closed blocks in the page
    this.final = null;
    this.goingOn = false; // the next frame makes more of them
  }

  update(turn) {
    this.turn = turn;
    const frame = document.timeline.currentTime;
    if (frame !== this.frame) Object.assign(this, { frame, made: 0, until: performance.now() + SLICE_MS });
    this.#show(turn);
  }

  #show({ stream, final, steps, status }) {
    if (steps !== this.steps) this.redactions = redactionPattern(steps.flatMap((step) => step.found ?? []));
    this.steps = steps;
    const ended = !LIVE.has(status);
    const whole = ended && !final ? wholeHtml(stream) : null;
    if (final) this.#finish(final, final, stream);
    else if (whole) this.#finish(stream, { message: stream.text, html: whole }, stream); // it was cut
    else this.#grow(stream, { ended });
  }

  #grow(stream, { ended }) {
    if (this.final !== null) this.#clear(); // another run goes on with it
    this.element.hidden = stream.text === "";
    if (stream.text === "") return;
    if (!this.#isBeginning(stream.blocks)) this.#clear();
    if (!this.#closeThrough(stream.blocks)) return;
    const { html, text } = openPreview(stream);
    if (!this.open.element.isConnected) this.element.append(this.open.element);
    this.open.show({ html }, text, this.redactions, { ended });
    placeBlock(this.open.element);
  }

  /** Whether the blocks in the page are the first of these. */
  #isBeginning(blocks) {
    return this.blocks.length <= blocks.length && this.blocks.at(-1) === blocks[this.blocks.length - 1];
  }

  /** Closes the blocks that are not in the page yet, as many as there is time for. False: the others come with the next frames. */
  #closeThrough(blocks) {
    for (const block of blocks.slice(this.blocks.length)) {
      this.#close(block);
      this.blocks.push(block);
      this.made += block.html.length;
      if (this.blocks.length < blocks.length && this.made >= SLICE_UNITS && performance.now() >= this.until) {
        this.#goOn();
        return false;
      }
    }
    return true;
  }

  #goOn() {
    if (this.goingOn) return;
    this.goingOn = true;
    requestAnimationFrame(() => {
      this.goingOn = false;
      this.update(this.turn);
    });
  }

  /** The open block becomes a closed one; what it shows already stays as it is. */
  #close(block) {
    if (!this.open.element.isConnected) this.element.append(this.open.element);
    const box = this.open.close(block, this.redactions);
    placeBlock(box);
    skipUnseen(box);
    this.#showPictures(box);
  }

  /** Shows how an answer stays; `source` is the object from which that was made. */
  #finish(source, final, stream) {
    if (source === this.final) return;
    const message = final.message || stream.text;
    const blocks = this.#isBeginning(stream.blocks) ? stream.blocks : this.blocks;
    const closed = blocks.map((block) => block.html).join("");
    this.element.hidden = message === "" && !final.html;
    const streamed = this.blocks.length > 0 || this.open.html !== "";
    if (streamed && final.html?.startsWith(closed) && message.startsWith(stream.text)) { // what was streamed stays in the page
      if (!this.#closeThrough(blocks)) return;
      this.final = source;
      if (final.html.length > closed.length) this.#close({ html: final.html.slice(closed.length) });
      this.open.element.remove();
      markRedactions(this.element, this.redactions);
      return;
    }
    this.#clear();
    this.final = source;
    if (final.html) this.#showWhole(final);
    else {
      this.open.show({ html: "" }, message, this.redactions, { ended: true });
      this.element.append(this.open.element);
    }
  }

  /** Each part of a whole answer becomes a block, as if it had been streamed. */
  #showWhole(final) {
    const whole = el("div");
    showProse(whole, final.html);
    markRedactions(whole, this.redactions);
    for (const part of [...whole.children]) {
      const box = el("div.block", {}, part);
      this.element.append(box);
      placeBlock(box);
      skipUnseen(box);
    }
    this.#showPictures(this.element);
  }

  /** What a screen reader says of the answer: the words of its first blocks, at least `characters` of them. */
  words(characters) {
    let text = "";
    for (const box of this.element.children) {
      if (text.length >= characters) break;
      text += ` ${box.innerText}`;
    }
    return text;
  }

  /** Pictures in the user's own files are shown in place of the links to them. */
  #showPictures(box) {
    for (const link of box.querySelectorAll('a.image[href^="/api/files/"]')) {
      const [, id] = /^\/api\/files\/([^/?#]+)/.exec(link.getAttribute("href")) ?? [];
      if (!id || !this.picture) continue;
      const alt = link.lastChild?.textContent ?? "";
      this.picture(decodeURIComponent(id)).then((address) => link.replaceWith(el("img", { src: address, alt, onload: () => URL.revokeObjectURL(address) })), () => {}); // the link stays
    }
  }

  #clear() {
    this.element.replaceChildren();
    this.open.clear();
    this.blocks = [];
    this.final = null;
  }
}
