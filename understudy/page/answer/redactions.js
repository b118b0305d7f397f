/** Redactions: marks in texts at the places of removed secrets, and notices that say how many and of which kind. */

import { el, arrange } from "../elements/dom.js";
import { t } from "../client/messages.js";
import { explained, sentences } from "../client/threads/findings.js";
import { icon } from "../elements/icons.js";

const ALWAYS = ["redacted"];
const COVERED = "•+(?:[ .@+_:/()-]{1,2}•+)*(?:[ .-]?[0-9]{4}(?![0-9]))?";

/**
 * Returns a pattern for the marks of redactions in a turn's texts, from the rows of its findings; null without findings.
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

/** Returns the title of a spot. */
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

// Notices: one line each, which unfolds into the kinds of findings.

export class NoticesView {
  constructor() {
    this.rows = new Map(); // step key -> {found, element}
    this.element = el("div.notices");
  }

  /** Shows the steps of kind "sanitized" that belong here. */
  update(steps) {
    for (const step of steps) {
      const known = this.rows.get(step.key);
      if (known?.found === step.found) continue;
      const element = notice(step);
      if (known?.element.open) element.open = true;
      this.rows.set(step.key, { found: step.found, element });
    }
    arrange(this.element, steps.map((step) => this.rows.get(step.key).element));
  }
}

function notice({ found, direction }) {
  const said = sentences(found, direction);
  if (said.length === 0) return el("p.notice", {}, icon("shield"), t("found.nothing"));
  const lines = said.map(({ text, warns }) => el(warns ? "span.warns" : "span", {}, text));
  return el("details.notice", {}, el("summary", {},
    icon(said.some(({ warns }) => warns) ? "warning" : "shield"), el("span.notice-lines", {}, lines), icon("chevron")), kindsFound(found));
}

/** The kinds that were found, with what became of them and, once for each category, what they are. */
export function kindsFound(rows) {
  let before = "";
  return el("ul.found", {}, rows.map((row) => {
    const { name, count: number, done, meaning, kind } = explained(row);
    const why = meaning !== before && el("span.found-why", {}, meaning);
    before = meaning;
    return el("li", {}, el("span.found-name", { title: kind }, name), ` · ${t("found.places", { count: number, done })}`, why);
  }));
}
