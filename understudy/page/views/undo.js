/** What of a run's work can be taken back, until when, and what became of that. */

import { LIVE } from "../client/turns.js";
import { visibly } from "./approval.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";

const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** Whether a call can be undone now (server ms). */
const isOffered = ({ undo }, now) => (undo.state === "open" || undo.state === "failed") && undo.until > now;
const clockTime = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

/** The undo of one call, on its card: a button as long as it is offered, else what became of it; null if there is none. */
export function cardUndo(step, { clock, onUndo }) {
  if (!step.undo) return null;
  const said = { doing: "Being undone…", undone: "Undone." }[step.undo.state];
  const refusal = el("p.field-error", { role: "alert", hidden: true });
  if (said) return el("p.hint.card-undo", {}, said);
  if (!isOffered(step, clock.now())) return null;
  const button = el("button.secondary", { type: "button" }, "Undo");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await onUndo({ callId: step.callId });
    } catch (fault) {
      Object.assign(refusal, { hidden: false, textContent: fault.message || "That could not be undone." });
      button.disabled = false;
    }
  });
  return el("div.card-undo", {}, button, el("span.hint", {}, ` until ${clockTime(step.undo.until)}`), refusal);
}

export class UndoView {
  /** `page` is {clock, onUndo({callId} or {runId})}, which rejects with {message} when it is refused. */
  constructor(page) {
    this.page = page;
    this.steps = [];
    this.timer = null;
    this.element = el("section.undo", { "aria-label": "Undo", hidden: true });
  }

  /** Shows the calls of a turn that can be or were undone, once its run has ended. */
  update(turn) {
    const steps = LIVE.has(turn.status) ? [] : turn.steps.filter((step) => step.undo);
    if (steps.length === this.steps.length && steps.every((step, at) => step === this.steps[at])) return;
    this.steps = steps;
    this.runId = turn.runId;
    this.#show("");
  }

  #show(refusal) {
    clearTimeout(this.timer);
    const now = this.page.clock.now();
    const offered = this.steps.filter((step) => isOffered(step, now));
    const shown = this.steps.filter((step) => offered.includes(step) || step.undo.state !== "open");
    const next = Math.min(...offered.map(({ undo }) => undo.until));
    if (offered.length > 0) this.timer = setTimeout(() => this.#show(""), Math.min(next - now + 50, LONGEST_TIMER_MS));
    this.element.hidden = shown.length === 0;
    const focused = this.element.contains(document.activeElement);
    this.element.replaceChildren(
      el("ul", {}, shown.map((step) => el("li", { "data-state": step.undo.state }, this.#row(step, offered.includes(step))))),
      offered.length > 1 ? el("button.quiet", { type: "button", onclick: () => this.#undo({ runId: this.runId }) }, "Undo all") : "",
      el("p.field-error", { role: "alert", hidden: refusal === "" }, refusal));
    if (focused) this.element.querySelector("button")?.focus({ preventScroll: true });
  }

  #row(step, offered) {
    const { state, until, reason } = step.undo;
    const name = el("span", {}, el("code", {}, step.tool), step.summary && el("span.hint", { dir: "auto" }, ` ${visibly(step.summary)}`));
    if (state === "doing") return ["Undoing ", name, "…"];
    if (state === "undone") return [icon("check"), name, " was undone"];
    const said = state === "failed" ? [icon("warning"), name, ` was not undone: ${visibly(reason)}`] : [name];
    if (!offered) return said;
    const button = el("button.secondary", { type: "button", onclick: () => this.#undo({ callId: step.callId }) }, "Undo");
    return [...said, el("span.hint", {}, ` until ${clockTime(until)} `), button];
  }

  async #undo(which) {
    for (const button of this.element.querySelectorAll("button")) button.disabled = true;
    try {
      await this.page.onUndo(which);
    } catch (fault) {
      this.#show(fault.message || "That could not be undone.");
    }
  }

  destroy() {
    clearTimeout(this.timer);
  }
}
