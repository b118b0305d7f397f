/** Markdown as plain words, for an open end whose preview has been lost. Pure, and linear in the text. */

const RULES = [
  [/^[ \t|:-]*-[ \t|:-]*$/gm, ""], // the line below a table's header, a rule
  [/^[ \t]*=+[ \t]*$/gm, ""],
  [/^[ \t>]*(?:#{1,6}|[-+*]|>)(?:[ \t]+|$)/gm, ""],
  [/!?\[([^\]\n]{0,300})\]\([^)\n]{0,2000}\)?/g, "$1"],
  [/[ \t]*\|[ \t]*/g, "  "],
  [/\\[()[\]]?|(?<!\s)\*+|\*+(?!\s)|~~|`|!?\[|\]|\$\$?(?![0-9])/g, ""],
  [/(^|[^\p{L}\p{N}])_+(?=\S)|(?<=\S)_+(?![\p{L}\p{N}])/gu, "$1"],
];
const FENCE = /^[ \t>]*(?:(`{3,})([^`\n]*)|(~{3,})([^\n]*))$/;
const LITERAL = /\\\(([^\n]*?)(?:\\\)|$)|\\\[([^]*?)(?:\\\]|$(?![^]))|\$\$([^]*?)(?:\$\$|$(?![^]))|(?<!`)`([^`\n]+)(?:`|$)/gm;

/** The words of `markdown`, without its marks. Not exact: what follows is the server's HTML. */
export function plainWords(markdown) {
  return RULES.reduce((text, [pattern, by]) => text.replace(pattern, by), markdown);
}

/**
 * The paragraphs and the pieces of code of `markdown`: [{code: text, language}] and [{words: [{text, code}]}], in which a
 * formula counts as code. `inCode`: it begins within code, which its first line may go on with.
 */
export function plainParts(markdown, inCode = false) {
  const parts = [];
  let fence = inCode ? "```" : null;
  let lines = [];
  let language = null; // null: the code began before
  const end = () => {
    if (fence !== null && (lines.length > 0 || language !== null)) parts.push({ code: lines.join("\n"), language });
    else if (fence === null) parts.push(...paragraphs(lines.join("\n")));
    lines = [];
  };
  for (const [number, line] of markdown.split("\n").entries()) {
    const [, ticks, name, waves, other] = FENCE.exec(line) ?? [];
    const mark = ticks ?? waves;
    const begins = number === 0 && inCode; // the rest of a line of code
    if (!mark || begins || (fence !== null && (mark[0] !== fence[0] || mark.length < fence.length))) lines.push(line);
    else {
      end();
      language = (name ?? other).trim().split(/\s/)[0];
      fence = fence === null ? mark : null;
    }
  }
  end();
  return parts;
}

function paragraphs(markdown) {
  return markdown.split(/\n[ \t]*\n/).map((part) => wordsOf(part.replace(/^\n|\n$/g, ""))).filter((words) => words.length > 0).map((words) => ({ words }));
}

function wordsOf(markdown) {
  const words = [];
  let at = 0;
  const add = (text, code) => text.trim() !== "" && words.push({ text, code });
  for (const found of markdown.matchAll(LITERAL)) {
    add(plainWords(markdown.slice(at, found.index)), false);
    add(found.slice(1).find((text) => text !== undefined) ?? "", true);
    at = found.index + found[0].length;
  }
  add(plainWords(markdown.slice(at)), false);
  return words;
}

/** Text to be said aloud: in one line, at most `most` characters, and cut behind a sentence, else behind a word. */
export function spoken(text, most) {
  const line = text.replace(/\s+/g, " ").trim();
  if (line.length <= most) return line;
  const part = line.slice(0, most);
  const sentence = Math.max(...[". ", "! ", "? ", "… ", "。", "؟ "].map((end) => part.lastIndexOf(end)));
  return sentence > most / 3 ? part.slice(0, sentence + 1) : `${part.slice(0, part.lastIndexOf(" ") > 0 ? part.lastIndexOf(" ") : most)}…`;
}
