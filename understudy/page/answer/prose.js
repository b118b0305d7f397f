/** Adds to rendered answers: copy buttons on code, tables that scroll by themselves, safe links. */

import { copyButton } from "../elements/copy.js";
import { t } from "../client/messages.js";
import { el } from "../elements/dom.js";
import { renderer } from "./renderer.js";
import { whenSeen } from "../elements/seen.js";
import { frameTable, joinTables } from "../tables/tables.js";

const DIAGRAM = "Mermaid"; // what the code of a diagram is called
const TABLE = "CSV";
const COLOURED_MAX = 8_000; // characters of a block whose language is loaded on demand
const TURN_LEVEL = 2; // of the headings that say who speaks

/**
 * Fills `container` with the nodes of an answer, a fragment. `grows`: it is the open end of an answer, and more follows. `outline`: the
 * ranks of the headings above, innermost last; those of this part are added.
 */
export function showProse(container, nodes, { grows = false, outline = [] } = {}) {
  container.replaceChildren(nodes);
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

/**
 * Fills `container` with a whole text in Markdown, or with the text as it is if what renders it cannot be had. `then()` is called
 * when it is shown.
 */
export function showWhole(container, text, then = () => {}) {
  const show = () => {
    if (renderer.loaded !== null) {
      showProse(container, renderer.loaded.wholeNodes(text));
      finishCode(container);
    } else if (renderer.failed) container.replaceChildren(el("div.plain", { dir: "auto" }, text));
    else return;
    then();
  };
  renderer.load(show);
  show();
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
    if (label) frame.dataset.language = label.textContent;
    label?.remove();
  }
  block.replaceWith(frame);
  frame.append(block);
  pre.tabIndex = 0; // so that a keyboard can scroll it
  pre.addEventListener("scroll", () => alignCode(frame, pre.scrollLeft), { passive: true });
}

/** Draws the diagrams of a block that does not change any more, and colours code whose language is loaded on demand. */
export function finishCode(box) {
  for (const frame of box.querySelectorAll(".code[data-language]")) {
    const { language } = frame.dataset;
    if (language === DIAGRAM) whenSeen(frame, () => import("../charts/diagram.js").then(({ draw }) => draw(frame, codeFrom(frame)), () => {})); // else the code stays
    else if (language !== TABLE && renderer.loaded?.lacks(language)) whenSeen(frame, () => colour(frame, language).catch(() => {})); // it stays without colours
  }
}

async function colour(frame, language) {
  const code = frame.querySelector("code");
  if (code.textContent.length > COLOURED_MAX || nextPart(frame)) return;
  const nodes = await renderer.loaded.colouredLater(code.textContent, language);
  if (nodes?.textContent === code.textContent) code.replaceChildren(nodes);
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
