/**
 * Tasks, footnotes and images in answers as GitHub writes them, and what models write beside: `<br>` in a cell, `H~2~O`,
 * `x^2^`. Pure.
 *
 * A footnote is shown where it is written, and its mark is a link to it whether or not it is there: so a streamed answer looks
 * as the finished one. Ids are left to the page, which shows several answers.
 */

const OWN_FILES = "/api/files/";
const TASK = /^\[([ xX])\][ \t]+(?=\S)/;
const LABEL = "[A-Za-z_-]{0,24}\\d{1,4}"; // ends with a digit: `[^abc]` is more often a regular expression
const MARK = new RegExp(`\\[\\^(${LABEL})\\]`, "y");
const NOTE = new RegExp(`^\\[\\^(${LABEL})\\]:[ \\t]*`);
const RAISED = /([~^])([^\s~^]{1,60})\1/y;
const BREAK = /<br[ \t]*\/?>/i;
const ELSEWHERE = /^(?:[A-Za-z][A-Za-z0-9+.-]*:|\/\/|\\)/; // of another host, or of a scheme

/** Has a parser recognise these, and a renderer show them. */
export function addExtensions(md) {
  md.core.ruler.after("inline", "tasks", markTasks);
  md.core.ruler.after("inline", "cell_breaks", breakCells);
  md.inline.ruler.before("link", "footnote", readMark);
  md.inline.ruler.after("emphasis", "raised", readRaised);
  md.block.ruler.before("reference", "footnote", readNote, { alt: ["paragraph", "reference"] });
  const { rules } = md.renderer;
  rules.footnote_mark = (tokens, index) => `<sup class="footnote"><a href="#note-${tokens[index].content}">${tokens[index].content}</a></sup>`;
  rules.footnote_open = (tokens, index) => `<div class="footnote"><a href="#mark-${tokens[index].meta.label}">${tokens[index].meta.label}</a>`;
  rules.footnote_close = () => "</div>\n";
  const image = rules.image;
  rules.image = (tokens, index, options, env, self) => {
    const address = tokens[index].attrGet("src") ?? "";
    if (!address.startsWith(OWN_FILES) && !ELSEWHERE.test(address)) return image(tokens, index, options, env, self);
    // A browser's own request for one of the user's files would have no token: the page shows it in place of the link.
    const words = self.renderInlineAsText(tokens[index].children, options, env).trim() || address;
    return `<a href="${md.utils.escapeHtml(address)}" class="image">${md.utils.escapeHtml(words)}</a>`;
  };
}

function markTasks({ tokens, Token }) {
  for (let index = 2; index < tokens.length; index += 1) {
    const [item, paragraph, inline] = [tokens[index - 2], tokens[index - 1], tokens[index]];
    if (item.type !== "list_item_open" || paragraph.type !== "paragraph_open" || inline.type !== "inline") continue;
    const [first] = inline.children;
    const found = first?.type === "text" ? TASK.exec(inline.content) : null;
    if (found === null || !first.content.startsWith(found[0].trimEnd())) continue;
    const done = found[1] !== " ";
    item.attrJoin("class", "task");
    first.content = first.content.slice(found[0].trimEnd().length);
    const box = new Token("html_inline", "", 0);
    box.content = `<span class="task${done ? " done" : ""}">${done ? "☑" : "☐"}</span>`;
    inline.children.unshift(box);
  }
}

/** Models break lines of a cell in the one way that there is: no other HTML of an answer is markup. */
function breakCells({ tokens, Token }) {
  for (let index = 1; index < tokens.length; index += 1) {
    if (tokens[index].type !== "inline" || !/^t[hd]_open$/.test(tokens[index - 1].type)) continue;
    if (!BREAK.test(tokens[index].content)) continue;
    tokens[index].children = tokens[index].children.flatMap((child) => {
      if (child.type !== "text") return [child];
      const parts = child.content.split(BREAK).map((content) => Object.assign(new Token("text", "", 0), { content }));
      return parts.flatMap((part, number) => (number === 0 ? [part] : [new Token("hardbreak", "br", 0), part]));
    });
  }
}

function readMark(state, silent) {
  if (state.src[state.pos] !== "[") return false;
  MARK.lastIndex = state.pos;
  const found = MARK.exec(state.src);
  if (found === null) return false;
  if (!silent) state.push("footnote_mark", "", 0).content = found[1];
  state.pos += found[0].length;
  return true;
}

/** Reads `x^2^` and `H~2~O`. */
function readRaised(state, silent) {
  const { src, pos } = state;
  if ((src[pos] !== "^" && src[pos] !== "~") || src[pos + 1] === src[pos] || src[pos - 1] === src[pos]) return false;
  RAISED.lastIndex = pos;
  const found = RAISED.exec(src);
  if (found === null || pos + found[0].length > state.posMax || src[pos + found[0].length] === src[pos]) return false;
  if (!silent) {
    const tag = found[1] === "^" ? "sup" : "sub";
    state.push(`${tag}_open`, tag, 1);
    state.push("text", "", 0).content = found[2];
    state.push(`${tag}_close`, tag, -1);
  }
  state.pos += found[0].length;
  return true;
}

/** Reads a footnote: its line and those up to a blank line or the next footnote. */
function readNote(state, first, endLine, silent) {
  if (state.sCount[first] - state.blkIndent >= 4) return false;
  const textOf = (line) => state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);
  const found = NOTE.exec(textOf(first));
  if (found === null) return false;
  if (silent) return true;
  const lines = [textOf(first).slice(found[0].length)];
  let line = first + 1;
  for (; line < endLine && !state.isEmpty(line) && state.sCount[line] >= state.blkIndent; line += 1) {
    if (NOTE.test(textOf(line))) break;
    lines.push(textOf(line));
  }
  Object.assign(state.push("footnote_open", "div", 1), { map: [first, line], meta: { label: found[1] }, block: true });
  state.push("paragraph_open", "p", 1).map = [first, line];
  Object.assign(state.push("inline", "", 0), { content: lines.join("\n").trim(), map: [first, line], children: [] });
  state.push("paragraph_close", "p", -1);
  state.push("footnote_close", "div", -1);
  state.line = line;
  return true;
}
