/** What rendered answers get on top: copy buttons on code, tables that scroll by themselves, safe links. */

import { copyButton } from "./copy.js";
import { t } from "../client/messages.js";
import { el } from "./dom.js";
import { setSafeHtml } from "./safe_html.js";
import { frameTable, joinTables } from "./tables.js";

const TURN_LEVEL = 2; // of the headings that say who speaks

/**
 * Fills `container` with an answer's safe HTML. `grows`: it is the open end of an answer, and more follows. `outline`: the
 * ranks of the headings above, innermost last; those of this part are added.
 */
export function showProse(container, html, { grows = false, outline = [] } = {}) {
  setSafeHtml(container, html);
  container.querySelectorAll("pre").forEach(frameCode);
  joinTables(container);
  container.querySelectorAll("table").forEach((table) => frameTable(table, { grows }));
  for (const part of container.children) if (!part.matches("pre, .code, .highlight, .table-frame, .table-card")) part.dir = "auto";
  container.querySelectorAll("a[href]").forEach(frameLink);
  container.querySelectorAll("span.task").forEach((box) => {
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", t(box.classList.contains("done") ? "answer.task_done" : "answer.task_open"));
  });
  for (const heading of container.querySelectorAll("h1, h2, h3, h4, h5, h6")) levelHeading(heading, outline);
}

/** A heading stands one level below the one that it belongs to, however many ranks its author left out. */
function levelHeading(heading, outline) {
  const rank = Number(heading.localName[1]);
  while (outline.at(-1) >= rank) outline.pop();
  outline.push(rank);
  heading.setAttribute("aria-level", String(Math.min(6, TURN_LEVEL + outline.length)));
}

function frameLink(link) {
  const address = link.getAttribute("href");
  if (address.startsWith("#")) {
    link.removeAttribute("target");
    const note = address.startsWith("#note-");
    if (!note && !address.startsWith("#mark-")) return;
    link.setAttribute("role", note ? "doc-noteref" : "doc-backlink");
    link.setAttribute("aria-label", t(note ? "answer.footnote" : "answer.footnote_back", { name: link.textContent }));
    return;
  }
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  if (link.classList.contains("image")) link.prepend(el("span.image-word", {}, t("answer.image")), " ");
}

/** Follows a link between a footnote and its mark within `answer`; both are named by their labels, in each answer anew. */
export function followNote(answer, event) {
  const link = event.target.closest?.('a[href^="#note-"], a[href^="#mark-"]');
  if (!link) return;
  event.preventDefault();
  const [, kind, label] = /^#(note|mark)-(.*)$/.exec(link.getAttribute("href"));
  const other = answer.querySelector(`a[href="#${kind === "note" ? "mark" : "note"}-${CSS.escape(label)}"]`);
  other?.scrollIntoView({ block: "center" });
  other?.focus({ preventScroll: true });
}

/** Says of a block of an answer what its distance depends on; long code and long lists are several blocks, which look as one. */
export function placeBlock(box) {
  box.classList.toggle("is-headed", box.firstElementChild?.matches("h1, h2, h3, h4") === true);
  const continued = box.firstElementChild?.matches(".code.is-continued, ul.continued, ol.continued") === true;
  box.classList.toggle("is-continued", continued);
  box.previousElementSibling?.classList.toggle("goes-on", continued);
}

/** Gives code its frame: the name of its language and a button to copy it. */
export function frameCode(pre) {
  if (pre.parentElement.closest("pre, .code")) return;
  const block = pre.closest(".highlight") ?? pre;
  const frame = el("div.code");
  if (block.classList.contains("continued")) frame.classList.add("is-continued");
  else {
    const label = block.querySelector(":scope > .language");
    const copy = copyButton(() => codeFrom(copy.closest(".code")), t("answer.copy_code"));
    frame.append(el("div.code-head", {}, el("span", {}, label?.textContent || t("answer.code")), copy));
    label?.remove();
  }
  block.replaceWith(frame);
  frame.append(block);
  pre.tabIndex = 0; // so that a keyboard can scroll it
  pre.addEventListener("scroll", () => alignCode(frame, pre.scrollLeft), { passive: true });
}

/** The frame that goes on with the code of `frame`, or null. */
function nextPart(frame) {
  const next = frame.nextElementSibling ?? frame.parentElement?.nextElementSibling?.firstElementChild;
  return next?.matches(".code.is-continued") ? next : null;
}

/** The code that begins in `frame`. */
function codeFrom(frame) {
  let text = "";
  for (let part = frame; part; part = nextPart(part)) text += part.querySelector("pre").textContent;
  return text.replace(/\n$/, "");
}

/** Code in several parts scrolls sideways as one. */
function alignCode(frame, left) {
  let first = frame;
  while (first.matches(".is-continued")) {
    const before = first.previousElementSibling ?? first.parentElement?.previousElementSibling?.lastElementChild;
    if (!before?.matches(".code")) break;
    first = before;
  }
  for (let part = first; part; part = nextPart(part)) {
    const pre = part.querySelector("pre");
    if (pre.scrollLeft !== left) pre.scrollLeft = left;
  }
}
