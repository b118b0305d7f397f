/** The question whether a tool may be used: everything it would be given, Allow and Deny, and what became of it. */

import { el, freshId, setText } from "./dom.js";
import { icon } from "./icons.js";
import { humanised } from "../client/format.js";

const NOTE_CHARACTERS = 1_000; // as many as the server takes
const OUTCOMES = Object.freeze({ allow: "Allowed", deny: "Denied", expired: "Nobody answered in time" });

export class ApprovalView {
  /** `page` is {clock, onApprove(callId, decision, note)}. */
  constructor(page) {
    this.page = page;
    this.element = el("section.approval");
    this.state = null;
  }

  /** Shows a tool step with its `approval`. */
  update(step) {
    const { approval } = step;
    if (approval === this.approval) return;
    this.approval = approval;
    if (approval.state !== "open") this.#close(step, approval);
    else if (this.state === "open") this.#wait(approval.deciding);
    else this.#ask(step, approval);
    this.state = approval.state;
    this.element.dataset.state = approval.state;
  }

  #ask(step, approval) {
    const [id, noteId] = [freshId("approval"), freshId("note")];
    this.note = el("input.approval-note", { id: noteId, maxLength: NOTE_CHARACTERS, autocomplete: "off", dir: "auto" });
    this.time = el("span.approval-time");
    this.statusText = el("p.hint", { role: "status" });
    const answer = (decision, word, look) => el(`button.${look}`, {
      type: "button", onclick: () => this.page.onApprove(step.callId, decision, this.note.value.trim()),
    }, word);
    this.buttons = [answer("allow", "Allow", "primary"), answer("deny", "Deny", "secondary")];
    this.element.setAttribute("aria-labelledby", id);
    this.element.replaceChildren(
      el("header.approval-head", {}, icon("shield"), el("h3", { id }, "Allow ", el("code", {}, step.tool), "?"), this.time),
      step.text && step.text !== humanised(step.tool) ? el("p.approval-why", {}, step.text) : "",
      parametersOf(approval.parameters),
      el("label.approval-label", { for: noteId }, "Note for the agent (optional)"), this.note,
      el("div.approval-actions", {}, this.buttons, this.statusText));
    if (approval.expiresAt > 0) this.page.clock.countDown(this.time, approval.expiresAt, remaining);
    this.#wait(approval.deciding);
  }

  /** What was clicked is on its way; the server says what became of it. */
  #wait(deciding) {
    for (const button of this.buttons) button.disabled = deciding !== null;
    this.note.disabled = deciding !== null;
    setText(this.statusText, deciding === null ? "" : `${deciding === "allow" ? "Allowing" : "Denying"}…`);
  }

  #close(step, approval) {
    const focused = this.element.contains(document.activeElement);
    if (this.time) this.page.clock.stop(this.time);
    const outcome = OUTCOMES[approval.decision] ?? "Not asked any more";
    this.element.removeAttribute("aria-labelledby");
    const line = el("p.approval-outcome", { tabIndex: -1 },
      icon(approval.decision === "allow" ? "check" : "refused"), el("span", {}, `${outcome}: `, el("code", {}, step.tool),
        approval.note && el("span.approval-said", { dir: "auto" }, `“${visibly(approval.note)}”`)));
    this.element.replaceChildren(line);
    if (focused) line.focus({ preventScroll: true });
  }
}

function parametersOf(parameters) {
  const entries = Object.entries(parameters);
  if (entries.length === 0) return el("p.hint", {}, "It is given nothing.");
  return el("dl.approval-parameters", {}, entries.flatMap(([name, value]) => [
    el("dt", {}, humanised(visibly(name))),
    el("dd", {}, el("pre", { tabIndex: 0, dir: "auto" }, visibly(typeof value === "string" ? value : JSON.stringify(value, null, 2)))),
  ]));
}

/** Text with invisible and direction-changing characters replaced by their code points. */
export function visibly(text) {
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Co}\u2028\u2029]/gu, (mark) => (
    mark === "\n" || mark === "\t" ? mark : `\\u{${mark.codePointAt(0).toString(16)}}`
  ));
}

/** "4:32 left". */
export function remaining(ms) {
  if (ms <= 0) return "Time is up";
  const seconds = Math.ceil(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left`;
}
