/** Marks where a span of text was redacted: `[redacted]`, `[email]`, `[email-1]`, `••••`. */

import { el } from "./dom.js";
import { t } from "../client/messages.js";

const ALWAYS = ["redacted"];
const COVERED = "•+(?:[ .@+_:/()-]{1,2}•+)*(?:[ .-]?[0-9]{4}(?![0-9]))?";

/**
 * What to look for in a turn's texts, by what was found in it; null when there is nothing to look for.
 *
 * Only words of kinds that were found: `[step-1]` in an answer is just that.
 */
export function redactionPattern(rows) {
  const words = new Set(ALWAYS);
  let covered = false;
  for (const { kind, action } of rows) {
    if (action === "flag") continue;
    covered ||= action === "mask";
    for (const word of kind.split(".")) if (/^[a-z0-9_]+$/.test(word)) words.add(word);
  }
  return new RegExp(`\\[(?:${[...words].join("|")})(?:-[0-9]{1,9})?\\]${covered ? `|•{2}${COVERED}` : ""}`, "g");
}

/** A text as pieces: [{text, spot}]. */
export function pieces(text, pattern) {
  const found = [];
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > at) found.push({ text: text.slice(at, match.index), spot: false });
    found.push({ text: match[0], spot: true });
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push({ text: text.slice(at), spot: false });
  return found;
}

/** What a spot says of itself. */
export function titleOf(spot) {
  if (spot.startsWith("•")) return t("redacted.covered");
  return /-[0-9]+\]$/.test(spot) ? t("redacted.placeholder") : t("redacted.removed");
}

/** A text as nodes, its pattern marked. */
export function nodesOf(text, pattern) {
  return pieces(text, pattern).map((piece) => (piece.spot ? spotOf(piece.text) : document.createTextNode(piece.text)));
}

/** Marks the pattern in the text nodes of an element. */
export function markRedactions(element, pattern) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.data.search(pattern) >= 0 && !node.parentElement.closest(".spot")) found.push(node);
  }
  for (const node of found) node.replaceWith(...nodesOf(node.data, pattern));
}

function spotOf(text) {
  return el("span.spot", { title: titleOf(text) }, text);
}
