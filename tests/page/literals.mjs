/** The literals of a JavaScript text: enough of its lexical grammar to tell strings from comments and expressions. */

const WORDS_BEFORE_REGEX = new Set(["return", "typeof", "case", "in", "of", "await", "yield", "new", "delete", "void", "else"]);
const TOKEN = /(?<space>\s+|\/\/.*|\/\*[^]*?\*\/)|(?<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?<word>[\p{L}\p{N}_$#]+)|(?<sign>=>|\.\.\.|[^])/uy;
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/uy;

/**
 * [{text, line, before}] of every string and every fixed piece of a template; `before` are the up to eight tokens that
 * stand before it.
 */
export function literals(source) {
  const found = [];
  const tokens = [];
  const braces = []; // true: the brace belongs to a `${` of a template
  let at = 0;
  const line = (index) => source.slice(0, index).split("\n").length;
  const note = (text, index) => found.push({ text, line: line(index), before: tokens.slice(-8) });

  /** Reads a template from after its "`" or the "}" of a value, up to the next value or its end. */
  function template() {
    const start = at;
    while (source[at] !== "`" && !source.startsWith("${", at)) {
      if (at >= source.length) throw new Error(`the template of line ${line(start)} has no end`);
      at += source[at] === "\\" ? 2 : 1;
    }
    note(source.slice(start, at), start);
    if (source[at] === "`") {
      at += 1;
      tokens.push("`…`");
    } else {
      at += 2;
      braces.push(true);
      tokens.push("${");
    }
  }

  while (at < source.length) {
    const last = tokens.at(-1) ?? "";
    if (source[at] === "/" && !/^\/[/*]/.test(source.slice(at, at + 2)) && (WORDS_BEFORE_REGEX.has(last) || !/[\p{L}\p{N}_$)\]}"'`]$/u.test(last))) {
      REGEX.lastIndex = at;
      const regex = REGEX.exec(source);
      if (regex) {
        at = REGEX.lastIndex;
        tokens.push("/…/");
        continue;
      }
    }
    if (source[at] === "`") {
      at += 1;
      template();
      continue;
    }
    if (source[at] === "}" && braces.pop() === true) {
      at += 1;
      template();
      continue;
    }
    TOKEN.lastIndex = at;
    const { groups, 0: token } = TOKEN.exec(source);
    if (groups.string) note(token.slice(1, -1), at);
    if (token === "{") braces.push(false);
    if (!groups.space) tokens.push(token);
    at = TOKEN.lastIndex;
  }
  return found;
}
