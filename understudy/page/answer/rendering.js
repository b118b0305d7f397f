/** The renderer of answers: the Markdown parser, the highlighter, the formulas and the cleaner. Loaded with the first answer. */

import { AnswerBlocks } from "./markdown/answer_blocks.js";
import { leadsTo } from "./markdown/leads_to.js";
import { Markdown } from "./markdown/markdown.js";
import hljs from "../lib/colours.js";
import temml from "../lib/formulas.js";
import { cjkFriendly, DOMPurify, MarkdownIt } from "../lib/markdown.js";
import { cleanerOf } from "./safe_html.js";

const markdown = new Markdown({ MarkdownIt, cjkFriendly, hljs, temml });

/** The nodes of a text of HTML that may be shown. */
export const clean = cleanerOf(DOMPurify, leadsTo);

/** The blocks of an answer that is being read; see `AnswerBlocks`. */
export const startReading = (references) => new AnswerBlocks(markdown, references);

/** The nodes of a whole text, at once: for what is short. */
export function wholeNodes(text) {
  let reading = startReading();
  let blocks = readAll(reading, text);
  if (!reading.exact) blocks = readAll(reading = startReading(reading.references), text);
  return clean(blocks.join(""));
}

/** The nodes of a text that is still being written, at once. */
export function openNodes(text) {
  const reading = startReading();
  return clean(readAll(reading, text, false).join("") + reading.openEnd);
}

function readAll(reading, text, last = true) {
  const blocks = [];
  let before;
  do {
    before = reading.source.length;
    blocks.push(...reading.step(text, { last }));
  } while (reading.source.length < text.length && reading.source.length > before);
  return blocks;
}

/** Whether code of a language, a word of its fence, is shown without colours until its language is loaded. */
export const lacks = (word) => /^[a-z][a-z0-9-]{0,19}$/i.test(word) && !hljs.getLanguage(word);

/** The nodes of code whose language is loaded on demand; null if there is none of that name. */
export async function colouredLater(code, word) {
  const { default: languages } = await import("../lib/more_colours.js");
  const language = word.toLowerCase();
  if (!Object.hasOwn(languages, language)) return null;
  if (!hljs.getLanguage(language)) hljs.registerLanguage(language, languages[language]);
  return clean(hljs.highlight(code, { language, ignoreIllegals: true }).value);
}
