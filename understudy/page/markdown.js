/** Renders answers, which are Markdown, as nodes. For pages of your own. */

import { openNodes, wholeNodes } from "./answer/rendering.js";

/** The nodes of a text in Markdown, a `DocumentFragment`. `open`: it is still being written, and its open markup is closed. */
export function markdownNodes(text, { open = false } = {}) {
  return open ? openNodes(text) : wholeNodes(text);
}
