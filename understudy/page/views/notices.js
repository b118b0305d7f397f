/** Redaction notices: one line each, which unfolds into the kinds of findings. */

import { arrange, el } from "./dom.js";
import { t } from "../client/messages.js";
import { explained, sentences } from "../client/threads/findings.js";
import { icon } from "./icons.js";

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
