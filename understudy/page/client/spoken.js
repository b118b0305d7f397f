/** Text to be said aloud: in one line, at most `most` characters, and cut behind a sentence, else behind a word. */
export function spoken(text, most) {
  const line = text.replace(/\s+/g, " ").trim();
  if (line.length <= most) return line;
  const part = line.slice(0, most);
  const sentence = Math.max(...[". ", "! ", "? ", "… ", "。", "؟ "].map((end) => part.lastIndexOf(end)));
  return sentence > most / 3 ? part.slice(0, sentence + 1) : `${part.slice(0, part.lastIndexOf(" ") > 0 ? part.lastIndexOf(" ") : most)}…`;
}
