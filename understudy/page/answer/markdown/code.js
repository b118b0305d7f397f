/**
 * Code in answers: highlighted by class names, in pieces of bounded size. Pure.
 *
 * A long piece of code becomes several elements, one below the other: a streamed one is shown piece by piece, and the browser
 * skips those that are out of sight. Where code is divided depends only on the code before that place, so the pieces are the
 * same whether it is shown at once or while it is written.
 */

export const PIECE_LINES = 80;
export const PIECE_CHARACTERS = 4_000;
const PIECE_MAX = 2 * PIECE_CHARACTERS; // of a piece that is highlighted; a longer one has a very long line
const CODE_MAX = 50_000; // characters of one block that are highlighted; what follows is shown plain
const CONTEXT_CHARACTERS = 1_000; // before a piece, from which the highlighter knows whether a string or a comment is open
const CONTEXT_LINES = 40;
const SLOW_MS = 50; // for a piece; then the rest of the answer's code is shown plain
const NAME_CHARACTERS = 32;

const NAMES = new Map(Object.entries({ csv: "CSV", mermaid: "Mermaid", text: "", txt: "", plaintext: "" })); // without a name the page says Code

/** The code before a first piece: `context` are the last lines before a piece, `length` counts all characters before it. */
export const BEGINNING = Object.freeze({ context: "", length: 0 });

/** Returns the same for the code that follows `text`, from the `before` of `text`. */
function beyond(before, text) {
  let context = before.context + text;
  if (context.length > CONTEXT_CHARACTERS) {
    context = context.slice(-CONTEXT_CHARACTERS);
    context = context.slice(context.indexOf("\n") + 1);
  }
  return { context: context.split("\n").slice(-CONTEXT_LINES - 1).join("\n"), length: before.length + text.length };
}

/**
 * Divides code into [{text, before, full, after}]; `full`: another piece follows, and `after` is what is before that one. At
 * least one, unless `before` says that there are earlier ones.
 */
export function pieces(code, before = BEGINNING) {
  const found = [];
  let start = 0;
  let lines = 0;
  for (let at = code.indexOf("\n") + 1; at > 0; at = code.indexOf("\n", at) + 1) {
    lines += 1;
    if (lines < PIECE_LINES && at - start < PIECE_CHARACTERS) continue;
    const text = code.slice(start, at);
    const after = beyond(before, text);
    found.push({ text, before, full: true, after });
    [before, start, lines] = [after, at, 0];
  }
  if (start < code.length || before.length === 0) found.push({ text: code.slice(start), before, full: false });
  return found;
}

/** Shows the code of one answer by `hljs`, until a piece takes too long: then `gaveUp`, and the rest is without colours. */
export class Highlighter {
  constructor(hljs, escapeHtml) {
    this.hljs = hljs;
    this.escapeHtml = escapeHtml;
    this.gaveUp = false;
  }

  /** The element that shows a piece. The first one of its code names the language, a word of the fence. */
  element({ text, before, full }, word) {
    const body = `<pre><code>${this.#coloured(text, before, word.toLowerCase())}</code></pre></div>${full ? "" : "\n"}`;
    if (before.length > 0) return `<div class="highlight continued">${body}`;
    const name = this.#nameOf(word);
    return `<div class="highlight">${name && `<span class="language">${this.escapeHtml(name)}</span>`}${body}`;
  }

  #nameOf(word) {
    const known = NAMES.get(word.toLowerCase()) ?? this.hljs.getLanguage(word)?.name?.replace(/,.*/, "");
    return known ?? (/^[^\p{C}\p{Z}]*$/u.test(word) ? word.slice(0, NAME_CHARACTERS) : "");
  }

  #coloured(text, before, language) {
    const fits = text.length <= PIECE_MAX && before.length + text.length <= CODE_MAX;
    if (!fits || this.gaveUp || NAMES.has(language) || !this.hljs.getLanguage(language)) return this.escapeHtml(text);
    const began = performance.now();
    const html = this.hljs.highlight(before.context + text, { language, ignoreIllegals: true }).value;
    if (performance.now() - began > SLOW_MS) this.gaveUp = true;
    return after(html, before.context.length);
  }
}

const PART = /<span class="[^"]*">|<\/span>|&(?:[a-z]+|#x?[0-9a-f]+);|[^<&]+|[<&]/giy;

/** Highlighted code without its first `skipped` characters. */
function after(html, skipped) {
  if (skipped === 0) return html;
  const open = [];
  PART.lastIndex = 0;
  for (let at = 0; skipped > 0; at = PART.lastIndex) {
    const [part] = PART.exec(html) ?? [];
    if (part === undefined) return "";
    if (part.startsWith("<span")) open.push(part);
    else if (part === "</span>") open.pop();
    else if (part[0] === "&") skipped -= 1;
    else if (part.length > skipped) {
      PART.lastIndex = at + skipped;
      skipped = 0;
    } else skipped -= part.length;
  }
  return open.join("") + html.slice(PART.lastIndex);
}
