/**
 * Markdown as HTML: CommonMark with tables, strikethrough, bare links, tasks, footnotes and formulas; raw HTML is text but for
 * a few tags without attributes (`habits.js`), and code is highlighted by class names. Pure. What comes out is cleaned where it
 * enters the page (`answer/safe_html.js`).
 */

import { Highlighter, pieces } from "./code.js";
import { divide } from "./divided.js";
import { addExtensions } from "./extensions.js";
import { addFormulas } from "./formulas.js";
import { addHabits } from "./habits.js";
import { closeOpenMarkup, withholdOpenLine } from "./open_markup.js";

const BLOCK_MAX = 30_000; // characters of one block; a longer one is shown as its text
const HOSTILE = /[[\]*_`<>~^$!&]/g;
const HOSTILE_MAX = 3_000; // marks in one block, of which parsers take a time that grows with the square of their number
const STOPS = /[。，、；：！？（）「」『』【】《》〈〉“”،؛؟]/gu; // marks of sentences without blanks, which end a bare link

export class Markdown {
  /** `libraries` are {MarkdownIt, cjkFriendly, hljs, temml}. */
  constructor({ MarkdownIt, cjkFriendly, hljs, temml }) {
    this.hljs = hljs;
    this.parser = makeParser(MarkdownIt, cjkFriendly, temml);
    this.previewer = makeParser(MarkdownIt, cjkFriendly, temml);
    this.previewer.core.ruler.after("divide", "close_open_markup", closeOpenMarkup);
    this.escapeHtml = this.parser.utils.escapeHtml;
  }

  highlighter() {
    return new Highlighter(this.hljs, this.escapeHtml);
  }

  /** The HTML of `source` as plain text, line by line. */
  plain(source) {
    const body = source.replace(/^\n+|\n+$/g, "");
    return body.trim() === "" ? "" : `<pre>${this.escapeHtml(body)}</pre>\n`;
  }

  /** The tokens of the blocks of a text, without those of what is in a line. */
  outline(text) {
    const tokens = [];
    this.parser.block.parse(text, this.parser, {}, tokens);
    return tokens;
  }

  /**
   * The HTML of whole blocks. `references` are the links defined above, and those of this text are added; `before` and `begun`
   * say with which code, table or list it goes on.
   */
  render(source, { references, colours, before, begun }) {
    return this.#html(source, this.parser, references, colours, before, begun);
  }

  /** The HTML of the open end of an answer, as it will look if its open markup is closed. */
  preview(source, { references, colours, before, begun }) {
    return this.#html(withholdOpenLine(source, this.parser), this.previewer, { ...references }, colours, before, begun);
  }

  #html(source, parser, references, colours, before, begun) {
    if (source.length > BLOCK_MAX || (source.length > HOSTILE_MAX && (source.match(HOSTILE) ?? []).length > HOSTILE_MAX)) {
      return this.plain(source);
    }
    return parser.render(source, { references, colours, ...(before && { before }), ...(begun && { begun }) });
  }
}

function makeParser(MarkdownIt, cjkFriendly, temml) {
  const parser = new MarkdownIt("commonmark", { html: false, linkify: true }).use(cjkFriendly);
  parser.enable(["table", "strikethrough", "linkify"]);
  // Only links with a scheme: `main.py` and `setup.sh` are files here, not hosts of Paraguay and St Helena.
  parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
  for (const name of ["match", "matchAtStart"]) {
    const find = parser.linkify[name].bind(parser.linkify);
    parser.linkify[name] = (text) => find(text.replace(STOPS, " "));
  }
  addFormulas(parser, temml);
  addExtensions(parser);
  addHabits(parser);
  parser.core.ruler.after("block", "divide", divide);
  const { rules } = parser.renderer;
  rules.fence = (tokens, index, _options, env) => {
    const [word = ""] = tokens[index].info.split(/\s+/).filter(Boolean);
    if (word === "math" && !env.before) return rules.math_block(tokens, index);
    const found = pieces(tokens[index].content, env.before);
    delete env.before;
    return found.map((piece) => env.colours.element(piece, word)).join("");
  };
  rules.code_block = rules.fence;
  rules.td_open = rules.th_open = (tokens, index, options, _env, self) => {
    const style = tokens[index].attrGet("style"); // which the page's policy refuses
    if (style !== null) tokens[index].attrs = tokens[index].attrs.map(([name, value]) => (name === "style" ? ["align", style.replace("text-align:", "")] : [name, value]));
    return self.renderToken(tokens, index, options);
  };
  return parser;
}
