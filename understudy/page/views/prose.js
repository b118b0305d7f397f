/** What rendered answers get on top: copy buttons on code, tables that scroll by themselves, safe links. */

import { copyButton } from "./copy.js";
import { el } from "./dom.js";
import { setSafeHtml } from "./safe_html.js";

/** Fills `container` with an answer's safe HTML. */
export function showProse(container, html) {
  setSafeHtml(container, html);
  container.querySelectorAll("pre").forEach(frameCode);
  container.querySelectorAll("table").forEach(frameTable);
  container.querySelectorAll("a[href]").forEach((link) => {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  });
}

function frameCode(pre) {
  if (pre.parentElement.closest("pre, .code")) return;
  const language = /language-([\w+#-]+)/.exec(pre.className + " " + (pre.firstElementChild?.className ?? ""))?.[1] ?? "";
  const block = pre.closest(".highlight") ?? pre;
  const frame = el("div.code", {}, el("div.code-head", {},
    el("span", {}, language || "Code"), copyButton(() => pre.textContent.replace(/\n$/, ""), "Copy code")));
  block.replaceWith(frame);
  frame.append(block);
  pre.tabIndex = 0; // so that a keyboard can scroll it
}

function frameTable(table) {
  const frame = el("div.table-frame", { tabIndex: 0, role: "region", "aria-label": "Table" });
  table.replaceWith(frame);
  frame.append(table);
}
