/** Markdown as plain words, for the moment in which its preview is late. Pure, and linear in the text. */

const RULES = [
  [/^[ \t]*(?:`{3,}|~{3,})[^\n]*$/gm, ""], // fences
  [/^[ \t|:-]*-[ \t|:-]*$/gm, ""], // the line below a table's header, a rule
  [/^[ \t]*=+[ \t]*$/gm, ""],
  [/^[ \t>]*(?:#{1,6}|[-+*]|>)[ \t]+/gm, ""],
  [/!?\[([^\]\n]{0,300})\]\([^)\n]{0,2000}\)?/g, "$1"],
  [/\*\*|~~|`+|!?\[|\]/g, ""],
  [/(^|[^\p{L}\p{N}])[*_]+(?=\S)|(?<=\S)[*_]+(?![\p{L}\p{N}])/gu, "$1"],
  [/[ \t]*\|[ \t]*/g, "  "],
  [/\\[([]|\\[)\]]|\$\$/g, ""],
];

/** The words of `markdown`, without its marks. Not exact: what follows is the server's HTML. */
export function plainWords(markdown) {
  return RULES.reduce((text, [pattern, by]) => text.replace(pattern, by), markdown);
}

/** Text to be said aloud: in one line, at most `most` characters, and cut behind a sentence, else behind a word. */
export function spoken(text, most) {
  const line = text.replace(/\s+/g, " ").trim();
  if (line.length <= most) return line;
  const part = line.slice(0, most);
  const sentence = Math.max(...[". ", "! ", "? ", "… ", "。", "؟ "].map((end) => part.lastIndexOf(end)));
  return sentence > most / 3 ? part.slice(0, sentence + 1) : `${part.slice(0, part.lastIndexOf(" ") > 0 ? part.lastIndexOf(" ") : most)}…`;
}
