/**
 * The blocks of an answer as it is written: closed ones, which do not change any more, and the open end. Pure.
 *
 * The blocks tile the text. Their HTML, joined, is that of the whole text, with one exception due to the language: a link
 * reference that is defined below its use. Such a use is shown as written, and `exact` becomes false: the finished answer is
 * made anew. The blocks depend on the text only, not on the pieces in which it comes.
 */

import { BEGINNING, pieces } from "./code.js";
import { blocksOf, seams } from "./divided.js";
import { OPEN } from "./formulas.js";

const STEP = 2_500; // characters that are read in a step: some milliseconds of work
const OFTEN = 8_000; // of an open end that is parsed with each line; a longer one when it has grown by an eighth
const OPEN_MAX = 30_000; // of an open end; then the rest is text
const REFERENCES_MAX = 200;
const BLANK = /^[ \t]*\n/;

export class AnswerBlocks {
  /** `references` are those that an earlier reading found (see `exact`). */
  constructor(markdown, references = {}) {
    this.markdown = markdown;
    this.references = { ...references };
    this.exact = true;
    this.failed = false;
    this.colours = markdown.highlighter();
    this.source = ""; // what was given
    this.tail = ""; // what no block holds yet
    this.parsed = 0; // length of the tail when its whole lines were last parsed
    this.linking = false; // an earlier block may use a reference
    this.code = null; // {fence, before}: code of which the first pieces are blocks
    this.begun = null; // {head, number}: a table or list of which the first pieces are blocks
    this.shown = null; // the open end, and its HTML
  }

  /** Whether `text` goes on with what was read. */
  continues(text) {
    return text.length >= this.source.length && text.startsWith(this.source);
  }

  /** Reads on, a bounded part of `text` at once: `source` says how far. `last`: no more follows. Returns the new blocks, [html]. */
  step(text, { last = false } = {}) {
    const from = this.source.length;
    let to = Math.min(text.length, from + STEP);
    if (to < text.length) to = Math.max(from + 1, text.lastIndexOf("\n", to) + 1 > from ? text.lastIndexOf("\n", to) + 1 : to);
    else if (!last && text[to - 1] === "\r") to -= 1; // it may be half of a line end
    this.source = text.slice(0, to);
    const fresh = text.slice(from, to).replace(/\r\n?/g, "\n").replaceAll("\0", "\ufffd");
    this.tail += fresh;
    const ended = last && to === text.length;
    if (this.failed || this.tail.length > OPEN_MAX) return this.#fail(ended);
    if (!ended && (!fresh.includes("\n") || (this.tail.length > OFTEN && this.tail.length < this.parsed * 9 / 8))) return [];
    return this.#cut(ended ? this.tail : this.tail.slice(0, this.tail.lastIndexOf("\n") + 1), ended);
  }

  /** The HTML of the open end as it will look if its markup is closed. */
  get openEnd() {
    if (this.shown?.of !== this.tail) {
      const { head, before } = this.#head();
      const html = this.failed ? "" : this.tail.trim() === "" ? "" : this.markdown.preview(head + this.tail, { ...this, before });
      this.shown = { of: this.tail, html };
    }
    return this.shown.html;
  }

  /** The lines before the open end if it goes on with code or a table, and what is before it in the code. */
  #head() {
    if (this.code !== null) return { head: this.code.fence, before: this.code.before };
    return { head: this.begun?.head ?? "", before: null };
  }

  #fail(ended) {
    this.failed = true;
    if (!ended || this.tail.trim() === "") return [];
    const html = this.markdown.plain(this.tail);
    this.tail = "";
    return [html];
  }

  /** Makes the blocks that these whole lines close, and the full pieces of code, of a table or a list that is open there. */
  #cut(whole, last) {
    const { head, before } = this.#head();
    const text = head + whole;
    const lines = text.split("\n");
    const starts = [0];
    for (const line of lines) starts.push(Math.min(starts.at(-1) + line.length + 1, text.length));
    const tokens = this.markdown.outline(text);
    const blocks = blocksOf(tokens).filter(([opening]) => opening.map);
    const found = [];
    let given = 0;
    const add = (end, source, context = {}) => {
      const known = Object.keys(this.references).length;
      found.push(this.markdown.render(source, { references: this.references, colours: this.colours, ...context }));
      if (this.linking && Object.keys(this.references).length > known) this.exact = false;
      this.linking ||= source.includes("[");
      given = end;
    };
    let open = null;
    for (const [index, block] of blocks.entries()) {
      const end = starts[Math.min(block[0].map[1], lines.length)];
      if (!last && index === blocks.length - 1 && !isClosed(block[0], text.slice(starts[block[0].map[0]], end), text.slice(end))) open = block;
      else add(end, text.slice(given, end), given === 0 ? { before, begun: this.begun } : {});
    }
    if (last && text.slice(given).trim() !== "") add(text.length, text.slice(given), given === 0 ? { before, begun: this.begun } : {});
    const first = given === 0; // the open block goes on with what was open before
    const [code, begun] = first ? [this.code, this.begun] : [null, null];
    this.code = null;
    this.begun = begun;
    if (open?.[0].type === "fence") {
      this.code = this.#fullPieces(open[0], starts, text, code, (html, end) => {
        found.push(html);
        given = end;
      });
    } else if (open !== null) {
      let above = "";
      for (const { line, begun: after } of seams(open, lines, this.markdown.parser, begun)) {
        add(starts[line], above + text.slice(given, starts[line]), { begun: this.begun });
        [this.begun, above] = [after, after.head];
      }
    }
    const names = Object.keys(this.references);
    if (names.length > REFERENCES_MAX) {
      this.exact = false;
      this.references = Object.fromEntries(names.slice(0, REFERENCES_MAX).map((name) => [name, this.references[name]]));
    }
    const taken = Math.max(given - head.length, 0);
    this.tail = this.tail.slice(taken);
    this.parsed = whole.length - taken;
    return found.filter((html) => html !== "");
  }

  /** Gives the full pieces of open code, each with its end in the text. Returns the code that goes on after them. */
  #fullPieces(fence, starts, text, code, give) {
    const [word = ""] = fence.info.split(/\s+/).filter(Boolean);
    let line = fence.map[0] + 1;
    let left = code?.before ?? BEGINNING;
    for (const piece of pieces(fence.content, left)) {
      if (!piece.full) break;
      line += piece.text.split("\n").length - 1;
      give(this.colours.element(piece, word), starts[line]);
      left = piece.after;
    }
    return left.length === 0 ? null : { fence: text.slice(starts[fence.map[0]], starts[fence.map[0] + 1]), before: left };
  }
}

/** Whether the last block of a text is closed: `source` is its own, `rest` is what follows. */
function isClosed({ type, markup }, source, rest) {
  if (type === "heading_open" || type === "hr") return true;
  if (type === "fence") {
    const bare = source.replace(/\n+$/, "");
    const end = bare.slice(bare.lastIndexOf("\n") + 1).trim();
    return bare.includes("\n") && end.length >= markup.length && [...end].every((each) => each === markup[0]);
  }
  if (type === "math_block") return markup !== OPEN || BLANK.test(rest);
  return ["paragraph_open", "table_open", "blockquote_open", "footnote_open"].includes(type) && BLANK.test(rest);
}
