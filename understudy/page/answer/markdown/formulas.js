/**
 * Formulas in answers: `\(a\)`, `$a$`, `\[a\]`, `$$a$$` and bare environments, `\begin{align}`, as MathML. Pure.
 *
 * A single dollar sign is more often the sign of a price: it opens a formula only before a character that is no space, and
 * closes one only behind such a character and before anything but a digit. A line that begins with `\[` or `$$` begins a
 * formula of its own, to the line that ends with the other mark, or to a blank line: so it is known when the formula ends,
 * whatever follows. LaTeX that is too long, defines commands or cannot be converted is shown as code.
 */

export const OPEN = "open"; // the markup of a `math_block` token whose end is missing

const SOURCE_MAX = 2_000; // characters of a formula
const OUTPUT_MAX = 100_000; // characters of its MathML
const CLOSERS = { "\\(": "\\)", "\\[": "\\]", "$$": "$$" };
const DISPLAYED = new Set(["\\[", "$$"]);
const ENVIRONMENT = /\\begin\{((?:align|alignat|equation|gather|cases|array|[bBpvV]?matrix)\*?)\}/y;
const END = /(?:\\\]|\$\$)[ \t]*([.,;:]?)[ \t]*$/;
const DEFINES = /\\(?:re)?newcommand|\\[gex]?def\b|\\let\b|\\DeclareMathOperator|\\(?:href|url|includegraphics|html\w*)\b/;
const CODE_LIKE = /[\\^_=+{}*<>|-]/;
const TAG = /<[a-z][^<>]*>/g;
const STYLE = / style="[^"]*"/g; // the page's policy refuses them
const LETTER = /[\p{L}\p{N}]/u;

/** Has a parser recognise formulas, and a renderer show them by `temml`. */
export function addFormulas(md, temml) {
  md.inline.ruler.before("escape", "math_inline", readInline);
  md.block.ruler.before("fence", "math_block", readBlock, { alt: ["paragraph", "reference", "blockquote", "list"] });
  md.renderer.rules.math_inline = (tokens, index) => inLine(temml, md, tokens[index]);
  md.renderer.rules.math_block = (tokens, index) => onItsOwn(temml, md, tokens[index].content);
}

function inLine(temml, md, { content, markup }) {
  const latex = content.trim();
  return converted(temml, latex, DISPLAYED.has(markup)) ?? `<code>${md.utils.escapeHtml(latex)}</code>`;
}

function onItsOwn(temml, md, content) {
  const shown = converted(temml, content.trim(), true);
  if (shown !== null) return `<div class="math">${shown}</div>\n`;
  const source = md.utils.escapeHtml(content.replace(/^\n+|\n+$/g, ""));
  return `<div class="highlight"><span class="language">LaTeX</span><pre><code>${source}\n</code></pre></div>\n`;
}

function converted(temml, latex, displayMode) {
  if (latex === "" || latex.length > SOURCE_MAX || DEFINES.test(latex)) return null;
  try {
    const html = temml.renderToString(latex, { displayMode, throwOnError: true, trust: false, maxExpand: 50, macros: {} });
    return html.length <= OUTPUT_MAX ? html.replace(TAG, (tag) => tag.replace(STYLE, "")) : null;
  } catch {
    return null; // it is no LaTeX, or nested too deeply
  }
}

/** Reads a formula within a line: an inline rule. */
function readInline(state, silent) {
  const { src, pos } = state;
  if (src[pos] !== "\\" && src[pos] !== "$") return false;
  let opener = src.slice(pos, pos + 2);
  let end, body, after;
  ENVIRONMENT.lastIndex = pos;
  const [, environment] = ENVIRONMENT.exec(src) ?? [];
  if (environment) {
    opener = "\\[";
    const closer = `\\end{${environment}}`;
    end = src.indexOf(closer, pos);
    [body, after] = [src.slice(pos, end + closer.length), end + closer.length];
  } else if (opener in CLOSERS) {
    end = src.indexOf(CLOSERS[opener], pos + 2);
    [body, after] = [src.slice(pos + 2, end), end + 2];
  } else if (opener[0] === "$") {
    opener = "$";
    end = dollarEnd(src, pos);
    [body, after] = [src.slice(pos + 1, end), end + 1];
  } else return false;
  if (end < 0 || body.length > SOURCE_MAX || after > state.posMax || body.trim() === "") return false;
  if (!silent) Object.assign(state.push("math_inline", "math", 0), { content: body, markup: opener });
  state.pos = after;
  return true;
}

/** Where the formula ends that a dollar sign opens; -1 if it opens none. */
function dollarEnd(source, start) {
  if (start > 0 && (LETTER.test(source[start - 1]) || source[start - 1] === "\\" || source[start - 1] === "$")) return -1;
  let end = start;
  do end = source.indexOf("$", end + 1);
  while (end > 0 && source[end - 1] === "\\"); // a dollar sign within the formula
  if (end < 0 || end - start > SOURCE_MAX) return -1;
  const body = source.slice(start + 1, end);
  if (body === "" || /^\s|\s$/.test(body) || body.includes("\n\n")) return -1;
  if (end + 1 < source.length && LETTER.test(source[end + 1])) return -1;
  return /^[0-9]/.test(body) && body.includes(" ") && !CODE_LIKE.test(body) ? -1 : end;
}

/** Reads a formula on lines of its own: a block rule. */
function readBlock(state, first, endLine, silent) {
  if (state.sCount[first] - state.blkIndent >= 4) return false;
  const line = (number) => state.src.slice(state.bMarks[number] + state.tShift[number], state.eMarks[number]);
  const opener = line(first).slice(0, 2);
  if (!DISPLAYED.has(opener)) return false;
  const closer = CLOSERS[opener];
  const rest = line(first).slice(2);
  const end = rest.indexOf(closer);
  if (end >= 0 && rest.slice(end + 2).trim() !== "") return false; // there is more in the line: a formula of a paragraph
  const body = [end >= 0 ? rest.slice(0, end) : rest];
  let closed = end >= 0;
  let next = first + 1;
  for (; !closed && next < endLine && !state.isEmpty(next) && state.sCount[next] >= state.blkIndent; next += 1) {
    const text = line(next);
    const found = END.exec(text);
    closed = found !== null && text.startsWith(closer, found.index);
    body.push(closed ? text.slice(0, found.index) + found[1] : text);
  }
  if (silent) return true;
  Object.assign(state.push("math_block", "math", 0), { content: body.join("\n"), markup: closed ? "" : OPEN, map: [first, next], block: true });
  state.line = next;
  return true;
}
