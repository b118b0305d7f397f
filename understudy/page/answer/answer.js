/** Shows an answer, while it is written and when it is finished: closed blocks, which do not change, and the open one at the end. */

import { ROOT } from "../client/address.js";
import { t } from "../client/messages.js";
import { LIVE } from "../client/threads/turns.js";
import { el } from "../elements/dom.js";
import { OpenBlock } from "./open_block.js";
import { finishCode, followNote, placeBlock } from "./prose.js";
import { markRedactions, redactionPattern } from "./redactions.js";
import { renderer } from "./renderer.js";
import { skipUnseen } from "../elements/seen.js";

const SLICE_MS = 8; // for making blocks in one frame: what the browser does with them takes twice as long
const AT_ONCE = 20_000; // characters of an answer that is finished: where it stands among others is measured at once
const OPEN_PAUSE = 3; // after the open end was made, as a multiple of the time that it took

export class AnswerView {
  /** `picture(id)` gives the address of the picture in one of the user's files, or rejects. */
  constructor(picture = null) {
    this.picture = picture;
    this.element = el("div.prose", { hidden: true, onclick: (event) => followNote(this.element, event) });
    this.goingOn = false; // the next frame goes on reading
    this.#clear();
  }

  /** The transcript calls this once more when what renders answers is there: it keeps the reader's place. */
  update(turn) {
    this.turn = turn;
    const { stream, final, steps, status } = turn;
    if (steps !== this.steps) this.redactions = redactionPattern(steps.flatMap((step) => step.found ?? []));
    this.steps = steps;
    const text = final?.message || stream.text;
    this.element.hidden = text === "";
    if (text === "") this.#clear();
    else if (renderer.loaded !== null) this.#read(text, { whole: final !== null, ended: !LIVE.has(status) });
    else this.#wait(text);
  }

  /** Until what renders it is there nothing is shown, or the text as it is if that takes long or fails. */
  #wait(text) {
    if (this.plain !== null) this.plain.textContent = text;
    else if (renderer.failed) {
      this.plain = el("div.plain", { dir: "auto" }, text);
      this.element.append(this.plain, el("p.hint", {}, t("answer.plain")));
    }
  }

  /** Reads on for as long as there is time in this frame; the next one goes on. `whole`: no text follows. */
  #read(text, { whole, ended }) {
    if (this.plain !== null || !this.reading?.continues(text) || (this.closed && text !== this.reading.source)) this.#clear();
    if (this.closed) return;
    const { clean, startReading } = renderer.loaded;
    this.reading ??= startReading();
    const atOnce = ended && text.length - this.reading.source.length <= AT_ONCE;
    const until = atOnce ? Infinity : performance.now() + SLICE_MS;
    do {
      for (const html of this.reading.step(text, { last: whole })) this.#close(clean(html));
    } while (this.reading.source.length < text.length && performance.now() < until);
    if (this.reading.source.length < text.length - 1) this.#goOn();
    else if (whole) this.#finish(text);
    else if (performance.now() < this.openAt && !ended) this.#goOn();
    else this.#showOpen(clean);
  }

  #finish(text) {
    if (!this.reading.exact) { // a link was defined below its use: all is made anew, with what is known now
      const { references } = this.reading;
      this.#clear();
      this.reading = renderer.loaded.startReading(references);
      this.#read(text, { whole: true, ended: true });
      return;
    }
    this.closed = true;
    this.open.element.remove();
    markRedactions(this.element, this.redactions);
  }

  #showOpen(clean) {
    const began = performance.now();
    const html = this.reading.openEnd;
    if (html === this.openHtml) return;
    this.openHtml = html;
    if (!this.open.element.isConnected) this.element.append(this.open.element);
    this.open.show(clean(html), this.redactions);
    placeBlock(this.open.element);
    this.openAt = performance.now() + OPEN_PAUSE * (performance.now() - began);
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
  #close(nodes) {
    if (!this.open.element.isConnected) this.element.append(this.open.element);
    const box = this.open.close(nodes, this.redactions);
    this.openHtml = null;
    placeBlock(box);
    skipUnseen(box);
    this.#showPictures(box);
    finishCode(box);
  }

  /** Returns the words of the first blocks, at least `characters` of them, for a screen reader. */
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
    for (const link of box.querySelectorAll('a[href^="/api/files/"]')) {
      const [path, id] = /^\/api\/files\/([^/?#]+)/.exec(link.getAttribute("href")) ?? [];
      if (path) link.href = ROOT + link.getAttribute("href");
      if (!link.classList.contains("image")) continue;
      if (!id || !this.picture) continue;
      const alt = link.lastChild?.textContent ?? "";
      this.picture(decodeURIComponent(id)).then((address) => link.replaceWith(el("img", { src: address, alt, onload: () => URL.revokeObjectURL(address) })), () => {}); // the link stays
    }
  }

  #clear() {
    this.element?.replaceChildren();
    this.open = new OpenBlock();
    this.openHtml = null; // what the open end shows
    this.openAt = 0; // when that may be made again
    this.reading = null; // what was read of the text
    this.closed = false; // all of it was
    this.plain = null; // the text as it is, in place of that
  }
}
