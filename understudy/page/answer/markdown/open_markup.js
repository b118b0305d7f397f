/**
 * Markdown that is not finished, as it will look when it is: for the open end of an answer that is being written. Pure.
 *
 * At the end of a text, markup that is still open is closed (`**bold`, `` `code``), reduced to its words (`[text](http…`) or
 * withheld (a list's marker alone, half of a formula). What stays literal in the finished text may stay literal here.
 */

import { OPEN } from "./formulas.js";

const REACH = 400; // characters after which an opening marker that nothing has closed is an ordinary character
const FORMULA_REACH = 2_000;
const DOLLAR_REACH = 80; // a single dollar sign is more often the sign of a price
const HEADER_REACH = 300; // for which a line that begins with a bar is withheld, as it may be the header of a table
const LINE_REACH = 400; // of a line of which it is not known what it begins

const CONTAINERS = "[ \\t>]*(?:(?:[-+*]|\\d{1,9}[.)])[ \\t][ \\t>]*)*";
const MARKERS = [
  "[-+*_=#~`|: \\t]*", // of a heading, a list, a table, a fence, a rule
  "\\d{1,9}[.)]?",
  "\\[[ xX]?\\]?[ \\t]*", // of a task
  "\\[[^\\]\\s^][^\\]\\s]{0,40}\\](?::[^\\n]*)?|\\[\\^[^\\]\\s]{0,40}(?:\\]:?[ \\t]*)?", // of a definition, a footnote
  "(?:`{3,}|~{3,})[^\\n`]*",
  "\\\\(?:\\[(?:(?!\\\\\\])[^\\n])*)?|\\$(?:\\$[^\\n$]*\\$?)?", // of a formula
];
const OPEN_LINE = new RegExp(`^${CONTAINERS}(?:${MARKERS.join("|")})$`);
const DEFINITION = /^[ \t>]*\[(?!\^)[^\]]{1,200}\]:/;
const DELIMITER = /^[ \t>]*(?:\|[ \t]*)?:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const BAR = /(?<!\\)\|/;
const SPECIAL = /[\\`<[\]$]/g;
const AUTOLINK = /^(?:https?:|mailto:)[^<>\s]*$/;
const SCHEMES = ["https:", "http:", "mailto:"];
const ENTITY = /&#?[A-Za-z0-9]{0,31}$/;
const LETTER = /[\p{L}\p{N}]$/u;
const EMPHASIS = /[*_~]/;

/** The last token that has a content of its own; in a table the last cell that is not empty. */
function leafOf(tokens) {
  return tokens.findLast((token) => token.nesting !== -1 && (token.type !== "inline" || token.content !== "")) ?? null;
}

function parsed(text, md) {
  const tokens = [];
  md.block.parse(text, md, {}, tokens);
  return tokens;
}

/** The text without a last line whose kind is still open; the header of a table gets the line below it. */
export function withholdOpenLine(text, md) {
  let tokens = parsed(text, md);
  let last = leafOf(tokens);
  const start = text.lastIndexOf("\n") + 1;
  let line = text.slice(start);
  if (last?.type === "fence" || last?.type === "code_block") {
    const begins = last.type === "fence" && last.map[0] === text.split("\n").length - 1; // the name of its language may go on
    return line !== "" && (begins || mayClose(line, last.markup)) ? text.slice(0, start) : text;
  }
  if (line !== "" && ((line.length <= LINE_REACH && OPEN_LINE.test(line)) || DEFINITION.test(line))) {
    [text, line] = [text.slice(0, start), ""];
    tokens = parsed(text, md);
    last = leafOf(tokens);
  }
  if (last?.type === "math_block" && last.markup === OPEN) return text.split("\n").slice(0, last.map[0]).map((each) => `${each}\n`).join("");
  if (last?.type !== "inline" || inTable(tokens)) return text;
  if (line !== "") {
    const bare = line.replace(/^[ \t>]+/, "");
    return bare.startsWith("|") && bare.length <= HEADER_REACH ? text.slice(0, start) : text;
  }
  return text + delimiter(text.slice(0, -1));
}

/** Whether a line may become the end of a fence. */
function mayClose(line, marker) {
  const bare = line.trim();
  return marker !== "" && bare !== "" && bare.length < marker.length && [...bare].every((each) => each === marker[0]);
}

function inTable(tokens) {
  const end = tokens.at(-1);
  return end.type === "table_close" || end.type === "tbody_close"
    || tokens.slice(-3).some(({ type, level }) => type === "table_close" && level === end.level);
}

/** The delimiter row for a header at the end of a text; empty if its last line is none. */
function delimiter(text) {
  const start = text.lastIndexOf("\n") + 1;
  const line = text.slice(start);
  const above = text.slice(text.lastIndexOf("\n", Math.max(start - 2, 0)) + 1, Math.max(start - 1, 0));
  const bare = line.replace(/^[ \t>]+/, "");
  if (!bare.startsWith("|") || bare.length > LINE_REACH || DELIMITER.test(line) || above.replace(/^[ \t>]+/, "").startsWith("|")) return "";
  const cells = bare.trim().replace(/^\|/, "").replace(/\|$/, "").split(BAR).length;
  return `${line.slice(0, line.length - bare.length)}|${"-|".repeat(cells)}\n`;
}

/** A core rule between the one for blocks and the one for their text: closes what is open at the end of the text. */
export function closeOpenMarkup(state) {
  const last = leafOf(state.tokens);
  if (last?.type === "inline") last.content = closeOpenText(last.content, state.md, state.env);
}

/** The text of a paragraph, heading or cell with closed markup; `env` has the references that it may use. */
export function closeOpenText(content, md, env) {
  let [text, code] = withoutOpenSpans(content.trimEnd().replace(ENTITY, ""));
  if (!code) text = text.replace(/[*_~]+$/, "").trimEnd();
  return text + closers(text, md, env);
}

/** Closes, reduces or withholds code, links and formulas at the end. Also whether the text ends in code. */
function withoutOpenSpans(text) {
  const brackets = [];
  SPECIAL.lastIndex = 0;
  for (let found; (found = SPECIAL.exec(text)) !== null;) {
    const { index: start, 0: mark } = found;
    let at = start + 1;
    if (mark === "\\") {
      if (start + 1 === text.length) return [text.slice(0, start), false];
      const closing = { "(": "\\)", "[": "\\]" }[text[start + 1]];
      at = start + 2;
      if (closing !== undefined) {
        const end = text.indexOf(closing, at);
        if (end < 0 && text.length - start <= FORMULA_REACH) return [text.slice(0, start).trimEnd(), false];
        if (end >= 0) at = end + 2;
      }
    } else if (mark === "`") {
      const run = /^`+/.exec(text.slice(start))[0].length;
      const end = endOfCode(text, start + run, run);
      if (end < 0) {
        const body = text.slice(start + run).replace(/`+$/, "");
        return body.trim() === "" ? [text.slice(0, start), false] : [text.slice(0, start + run) + body + "`".repeat(run), true];
      }
      at = end;
    } else if (mark === "<") {
      const rest = text.slice(start + 1);
      if (SCHEMES.some((scheme) => scheme.startsWith(rest))) return [text.slice(0, start), false];
      if (AUTOLINK.test(rest)) return [text.slice(0, start) + rest, false];
    } else if (mark === "$") {
      const [beyond, withheld] = beyondDollar(text, start);
      if (withheld) return [text.slice(0, start).trimEnd(), false];
      at = beyond;
    } else if (mark === "[") brackets.push(start);
    else if (brackets.length > 0) { // the end of a label
      const opened = brackets.pop();
      const end = endOfLink(text, start);
      if (end >= 0) at = end;
      else if (!text.startsWith("[^", opened)) return [wordsOf(text, opened, start, brackets), false];
    }
    SPECIAL.lastIndex = at;
  }
  return [wordsOf(text, null, text.length, brackets), false];
}

/** The text up to `end` without the brackets that are open there: those of a link show its words only. */
function wordsOf(text, opened, end, brackets) {
  text = text.slice(0, end);
  for (const start of [...brackets, ...(opened === null ? [] : [opened])].reverse()) {
    if (text.length - start > REACH && start !== opened) continue;
    if (text.startsWith("[^", start)) text = text.slice(0, start);
    else text = text.slice(0, start - (text[start - 1] === "!" ? 1 : 0)) + text.slice(start + 1);
  }
  return text.endsWith(" !") ? text.slice(0, -1) : text;
}

/** Where the code ends that a run of so many backticks opened before `at`; -1 if it does not. */
function endOfCode(text, at, run) {
  const ticks = /`+/g;
  ticks.lastIndex = at;
  for (let found; (found = ticks.exec(text)) !== null;) if (found[0].length === run) return ticks.lastIndex;
  return -1;
}

/** Where a link ends whose label ends at `at`; -1 if more of it may come. */
function endOfLink(text, at) {
  if (at + 1 >= text.length) return -1;
  if (text[at + 1] === "[") {
    const end = text.indexOf("]", at + 2);
    return end >= 0 ? end + 1 : -1;
  }
  if (text[at + 1] !== "(") return at + 1;
  let depth = 0;
  let quote = "";
  for (let place = at + 1; place < text.length; place += 1) {
    const letter = text[place];
    if (letter === "\\") place += 1;
    else if (quote !== "") quote = letter === quote ? "" : quote;
    else if ((letter === "\"" || letter === "'") && /\s/.test(text[place - 1])) quote = letter;
    else if (letter === "(") depth += 1;
    else if (letter === ")") {
      depth -= 1;
      if (depth === 0) return place + 1;
    }
  }
  return -1;
}

/** Where to go on after a dollar sign, and whether it is to be withheld with all that follows. */
function beyondDollar(text, start) {
  if (text.startsWith("$$", start)) {
    const end = text.indexOf("$$", start + 2);
    return end >= 0 ? [end + 2, false] : [text.length, text.length - start <= FORMULA_REACH];
  }
  if (start + 1 === text.length) return [text.length, true];
  if (/[\s\d]/.test(text[start + 1]) || (start > 0 && LETTER.test(text[start - 1]))) return [start + 1, false];
  const end = text.indexOf("$", start + 1);
  if (end >= 0) return [end + 1, false];
  return [start + 1, text.length - start <= DOLLAR_REACH];
}

/** The markers that close the emphasis which is open at the end of a text. */
function closers(text, md, env) {
  if (!EMPHASIS.test(text)) return "";
  const state = new md.inline.State(text, md, env, []);
  md.inline.tokenize(state);
  const [balancePairs] = md.inline.ruler2.getRules("");
  balancePairs(state);
  const behind = [0];
  for (const token of [...state.tokens].reverse()) behind.push(behind.at(-1) + token.content.length);
  const found = [];
  let literal = -1; // the token of the last marker that stands within a word, where it is hardly meant as one
  for (const one of state.delimiters) {
    if (!one.open || one.end >= 0) continue;
    const mark = String.fromCharCode(one.marker);
    const before = one.token > 0 ? state.tokens[one.token - 1].content.slice(-1) : "";
    if (mark !== "~" && (LETTER.test(before) || (literal === one.token - 1 && literal >= 0))) literal = one.token;
    else if (behind[state.tokens.length - one.token - 1] <= REACH) found.push(mark === "~" ? "~~" : mark);
  }
  return found.reverse().join("");
}
