/**
 * Markup that models write and CommonMark takes for text: emphasis beside a mark of punctuation, headings without a blank, code with a
 * pipe in a cell, lines that begin with a bullet, notes as GitHub's, tags of HTML that only shape words, and what is left of their
 * own tags. Pure. Of HTML these few tags alone are read, without attributes; their tokens are those of Markdown.
 */

const PAIRS = Object.freeze({ b: "strong", strong: "strong", i: "em", em: "em", sub: "sub", sup: "sup", u: "em", mark: "strong", summary: "strong" });
const PAIR = /<(b|strong|i|em|sub|sup|u|mark|kbd|summary)>([^<>\n]{1,200})<\/\1>/iy;
const LEFT = /<(?:\/?(?:details|think|thinking|reasoning)(?: open)?|\|[a-z_]{2,24}\|)>/iy;
const BREAK = /<br[ \t]*\/?>/iy;
const BEGINS_A_LINE = /^(?:[•‣▪◦●○–—✓✔✗✘➤→☐☑]|\p{Extended_Pictographic}|[a-z\d]{1,2}[.)](?=[ \t])|\||: )/u;
const HEADING = /^(?:(#{2,6})(?=[^\s#])|(#)(?=[\p{Lu}\p{Lo}])(?=[^#]*$))(.*)$/u;
const NOTE = /^\[!(note|tip|important|warning|caution)\][ \t]*/i;
const CODE = /(`+)(?!`)[^`\n]*?\1(?!`)/g;
const PIPE = "\ue07c"; // in place of a pipe in code while the cells of a row are told apart
const SHORTCODE = /:([a-z][a-z_]{0,24}):/y;
const EMOJI = Object.freeze({
  white_check_mark: "✅", heavy_check_mark: "✔️", check: "✔️", x: "❌", warning: "⚠️", rocket: "🚀", bulb: "💡", fire: "🔥", star: "⭐", sparkles: "✨", tada: "🎉", memo: "📝",
  pencil: "📝", books: "📚", book: "📖", mag: "🔍", link: "🔗", lock: "🔒", key: "🔑", bug: "🐛", wrench: "🔧", hammer: "🔨", gear: "⚙️", package: "📦", calendar: "📅", clock: "🕐",
  chart_with_upwards_trend: "📈", bar_chart: "📊", email: "📧", point_right: "👉", thumbsup: "👍", thumbsdown: "👎", clap: "👏", wave: "👋", smile: "😄", thinking: "🤔", heart: "❤️",
  question: "❓", exclamation: "❗", information_source: "ℹ️", no_entry: "⛔", construction: "🚧", zap: "⚡", eyes: "👀", rotating_light: "🚨", dart: "🎯", trophy: "🏆", globe: "🌍",
});

/** Has a parser read these. */
export function addHabits(md) {
  md.inline.State = class extends md.inline.State {
    /** Two stars beside a mark of punctuation and a letter are emphasis, too: `**Note:**see`. */
    scanDelims(start, canSplitWord) {
      const found = super.scanDelims(start, canSplitWord);
      if (this.src[start] !== "*" || found.length !== 2) return found;
      const [before, after] = [this.src[start - 1] ?? " ", this.src[start + 2] ?? " "];
      return { ...found, can_open: found.can_open || (/\p{L}/u.test(before) && /\p{P}/u.test(after)), can_close: found.can_close || (/\p{P}/u.test(before) && /[\p{L}\p{N}]/u.test(after)) };
    }
  };
  md.inline.ruler.before("link", "tags", readTag);
  md.inline.ruler.before("link", "shortcode", readShortcode);
  md.block.ruler.before("heading", "close_heading", readHeading, { alt: ["paragraph", "reference", "blockquote"] });
  const rules = md.block.ruler.getRules("");
  md.block.ruler.disable("table");
  const table = rules.find((rule) => !md.block.ruler.getRules("").includes(rule));
  md.block.ruler.at("table", (...given) => readTable(table, ...given), { alt: ["paragraph", "reference"] });
  md.block.ruler.enable("table");
  md.core.ruler.after("inline", "lines", breakLines);
  md.core.ruler.after("inline", "notes", nameNotes);
}

function matchAt(pattern, { src, pos }) {
  pattern.lastIndex = pos;
  return pattern.exec(src);
}

/** Reads a pair of tags that shape a few words, a break that stands beside words, and leaves out a tag of the model's own. */
function readTag(state, silent) {
  if (state.src[state.pos] !== "<") return false;
  const left = matchAt(LEFT, state);
  const line = left ?? matchAt(BREAK, state);
  if (line !== null) {
    const beside = /\S/.test(state.src[state.pos - 1] ?? "") || /\S/.test(state.src[state.pos + line[0].length] ?? "");
    if (left === null && !beside) return false; // it is spoken of
    const ends = left !== null && left[0][1] === "/" && state.pos > 0 && /[^\s<]/.test(state.src[state.pos + left[0].length] ?? "");
    if (!silent && (left === null || ends)) state.push("hardbreak", "br", 0);
    state.pos += line[0].length;
    return true;
  }
  const pair = matchAt(PAIR, state);
  if (pair === null || state.pos + pair[0].length > state.posMax) return false;
  if (!silent) {
    const tag = PAIRS[pair[1].toLowerCase()];
    if (tag) state.push(`${tag}_open`, tag, 1);
    state.push(tag ? "text" : "code_inline", tag ? "" : "code", 0).content = pair[2];
    if (tag) state.push(`${tag}_close`, tag, -1);
    if (pair[1].toLowerCase() === "summary" && /\S/.test(state.src[state.pos + pair[0].length] ?? "")) state.push("hardbreak", "br", 0);
  }
  state.pos += pair[0].length;
  return true;
}

function readShortcode(state, silent) {
  const found = state.src[state.pos] === ":" && !/[\p{L}\p{N}:]/u.test(state.src[state.pos - 1] ?? "") ? matchAt(SHORTCODE, state) : null;
  if (found === null || !Object.hasOwn(EMOJI, found[1])) return false;
  if (!silent) state.push("text", "", 0).content = EMOJI[found[1]];
  state.pos += found[0].length;
  return true;
}

/** Reads `##Title`, and `#Title` where a paragraph would begin. */
function readHeading(state, line, _endLine, silent) {
  if (state.sCount[line] - state.blkIndent >= 4) return false;
  const found = HEADING.exec(state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]));
  if (found === null || (silent && found[1] === undefined)) return false;
  if (silent) return true;
  const [, several, one, text] = found;
  const markup = several ?? one;
  const tag = `h${markup.length}`;
  state.line = line + 1;
  Object.assign(state.push("heading_open", tag, 1), { markup, map: [line, state.line] });
  Object.assign(state.push("inline", "", 0), { content: text.replace(/[ \t]+#+[ \t]*$/, "").trim(), map: [line, state.line], children: [] });
  state.push("heading_close", tag, -1).markup = markup;
  return true;
}

const cellsIn = (row) => row.trim().replace(/^\||\|$/g, "").replace(/\\\|/g, "").split("|").length;

/** Reads a table. A row that has its cells only if a pipe in code is none is read so. */
function readTable(table, state, startLine, endLine, silent) {
  if (silent || startLine + 2 > endLine) return table(state, startLine, endLine, silent);
  const { src, bMarks, eMarks, tokens: { length } } = state;
  const rowOf = (line) => src.slice(bMarks[line], eMarks[line]);
  if (!/^[\s|:-]*-[\s|:-]*$/.test(rowOf(startLine + 1))) return false;
  const columns = cellsIn(rowOf(startLine + 1));
  let masked = src;
  for (let line = startLine; line < endLine && !state.isEmpty(line) && state.sCount[line] >= state.blkIndent; line += 1) {
    const row = rowOf(line);
    if (!row.includes("`") || cellsIn(row) === columns) continue;
    const other = row.replace(CODE, (code) => code.replaceAll("|", PIPE));
    if (cellsIn(other) === columns) masked = masked.slice(0, bMarks[line]) + other + masked.slice(eMarks[line]);
  }
  state.src = masked;
  const read = table(state, startLine, endLine, silent);
  state.src = src;
  if (masked !== src) for (const token of state.tokens.slice(length)) token.content = token.content.replaceAll(PIPE, "|");
  return read;
}

/** A line that begins as those of a list or a table do stands by itself. */
function breakLines({ tokens }) {
  for (const { children, type } of tokens) {
    if (type !== "inline") continue;
    children.forEach((child, index) => {
      const next = children[index + 1];
      if (child.type === "softbreak" && next?.type === "text" && BEGINS_A_LINE.test(next.content)) Object.assign(child, { type: "hardbreak", tag: "br" });
    });
  }
}

/** `> [!NOTE]` is said as GitHub shows it. */
function nameNotes({ tokens, Token }) {
  for (let index = 2; index < tokens.length; index += 1) {
    if (tokens[index].type !== "inline" || tokens[index - 2].type !== "blockquote_open") continue;
    const { children } = tokens[index];
    const found = children[0]?.type === "text" ? NOTE.exec(children[0].content) : null;
    if (found === null) continue;
    const word = found[1][0].toUpperCase() + found[1].slice(1).toLowerCase();
    children[0].content = children[0].content.slice(found[0].length);
    if (children[0].content === "" && children[1]?.type === "softbreak") children.splice(0, 2);
    children.unshift(
      new Token("strong_open", "strong", 1), Object.assign(new Token("text", "", 0), { content: word }), new Token("strong_close", "strong", -1), new Token("hardbreak", "br", 0),
    );
  }
}
