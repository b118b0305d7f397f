/** Undo: the calls of a run that can be undone, until when, and the result of each undo. */

import { LIVE } from "../client/threads/turns.js";
import { dateTime, t, listed } from "../client/messages.js";
import { remaining, visibly } from "../approvals/approval.js";
import { el } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { confirmed } from "../elements/dialog.js";
import { callTitle } from "./run_summary.js";

const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** Whether a call can be undone now (server ms). */
const isOffered = ({ undo }, now) => (undo.state === "open" || undo.state === "failed") && undo.until > now;
const HOUR_MS = 3_600_000;
const DAY = Object.freeze({ day: "numeric", month: "short" });
const TIME = Object.freeze({ hour: "2-digit", minute: "2-digit" });

/** Returns the time left to undo a call: "9:58 left" in the last hour, before that "until 14:05" or "until 3 Dec". */
function leftText(until, left) {
  if (left < HOUR_MS) return remaining(left);
  return t("undo.until", { time: dateTime(until, left > 20 * HOUR_MS ? DAY : TIME) });
}

function timeLeft(until, clock) {
  const time = el("span.undo-time");
  clock.countDown(time, until, (left) => leftText(until, left));
  return time;
}

/** The undo of one call, on its card: a button as long as it is offered, else what became of it; null if there is none. */
export function cardUndo(step, { clock, onUndo }) {
  if (!step.undo) return null;
  const said = { doing: "undo.doing", undone: "undo.undone" }[step.undo.state];
  const refusal = el("p.field-error", { role: "alert", hidden: true });
  if (said) return el("p.hint.card-undo", {}, t(said));
  if (!isOffered(step, clock.now())) return null;
  const button = el("button.secondary", { type: "button" }, t("undo.name"));
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await onUndo({ callId: step.callId });
    } catch (fault) {
      Object.assign(refusal, { hidden: false, textContent: fault.message || t("undo.impossible") });
      button.disabled = false;
    }
  });
  const box = el("div.card-undo", {}, button, timeLeft(step.undo.until, clock), refusal);
  setTimeout(() => box.remove(), Math.min(step.undo.until - clock.now(), LONGEST_TIMER_MS));
  return box;
}

export class UndoView {
  /** `page` is {clock, onUndo({callId} or {runId})}, which rejects with {message} when it is refused. */
  constructor(page) {
    this.page = page;
    this.steps = [];
    this.timer = null;
    this.element = el("div.undo", { role: "group", "aria-label": t("undo.name"), hidden: true });
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
      offered.length > 1 ? el("header", {}, el("span", {}, t("undo.offered", { count: offered.length })),
        el("button.secondary", { type: "button", onclick: () => this.#undo({ runId: this.runId }) }, t("undo.all"))) : "",
      el("ul", {}, shown.map((step) => el("li", { "data-state": step.undo.state }, this.#row(step, offered.includes(step))))),
      el("p.field-error", { role: "alert", hidden: refusal === "" }, refusal));
    if (focused) this.element.querySelector("button")?.focus({ preventScroll: true });
  }

  #row(step, offered) {
    const { state, until, reason } = step.undo;
    const what = (mark, words) => [mark, el("span.undo-what", {},
      el("code", {}, step.tool), step.summary && el("span.hint", { dir: "auto" }, ` ${visibly(step.summary)}`), words && el("span.undo-state", {}, words))];
    if (state === "doing") return what(el("span.spinner"), t("undo.doing"));
    if (state === "undone") return what(icon("check"), t("undo.was_undone"));
    const said = state === "failed" ? what(icon("warning"), t("undo.was_not", { reason: visibly(reason) })) : what(icon("undo"), "");
    if (!offered) return said;
    const button = el("button.secondary", { type: "button", onclick: () => this.#undo({ callId: step.callId }) }, t("undo.name"));
    return [...said, timeLeft(until, this.page.clock), button];
  }

  async #undo(which) {
    for (const button of this.element.querySelectorAll("button")) button.disabled = true;
    try {
      await this.page.onUndo(which);
    } catch (fault) {
      this.#show(fault.message || t("undo.impossible"));
    }
  }

  destroy() {
    clearTimeout(this.timer);
  }
}

// Doing a run again from one of its calls on: what took effect is named before, and undone where it can be.

const UNDONE_MS = 60_000; // for one call to be undone

/** Asks the user if it must, then has the message answered again from `step` on. Rejects with {message} when that fails. */
export async function retryFrom(turn, step, { api, client }) {
  const known = await api.tools().catch(() => null);
  const { undoable, lasting } = effectsFrom(turn, step, known?.tools ?? []);
  const names = (calls) => listed([...new Set(calls.map(callTitle))]);
  const text = [
    undoable.length > 0 && t("retry.undone_first", { calls: names(undoable) }),
    lasting.length > 0 && t("retry.twice", { calls: names(lasting) }),
  ].filter(Boolean).join(" ");
  if (text !== "" && !await confirmed({ title: t("retry.title"), text, agree: t("step.retry") })) return;
  for (const { callId } of undoable.reverse()) { // one after the other: a run undoes one at a time
    const settled = undone(client, callId);
    await client.undo({ callId });
    await settled;
  }
  client.regenerate(turn.messageId, { callId: step.callId });
}

/** Resolves when a call was undone; rejects when it was not, or not in time. */
function undone(client, callId) {
  return new Promise((resolve, reject) => {
    const end = (then, value) => {
      clearTimeout(timer);
      leave();
      then(value);
    };
    const timer = setTimeout(() => end(reject, { message: t("undo.impossible") }), UNDONE_MS);
    const leave = client.on("events", (events) => {
      const event = events.find(({ type, data }) => type === "call_undone" && data.call_id === callId);
      if (event) end(event.data.status === "ok" ? resolve : reject, { message: event.data.reason || t("undo.impossible") });
    });
  });
}

// The calls of a run that would be made again if it were repeated from one of its calls on.

const MAY_HAVE = new Set(["ok", "timed_out", "killed", "cancelled"]);

/**
 * The calls from `step` on that may have taken effect: {undoable, lasting}, each oldest first. `tools` are the server's:
 * what can be repeated without harm has no effect; of a tool that is not among them that is not known.
 */
export function effectsFrom({ steps }, step, tools) {
  const harmless = new Set(tools.filter(({ repeatable }) => repeatable).map(({ name }) => name));
  const from = steps.slice(Math.max(steps.findIndex(({ key }) => key === step.key), 0));
  const done = from.filter(({ kind, status, tool, undo }) => (
    kind === "tool" && MAY_HAVE.has(status) && !harmless.has(tool) && undo?.state !== "undone"
  ));
  const open = ({ undo }) => undo?.state === "open" || undo?.state === "failed";
  return { undoable: done.filter(open), lasting: done.filter((one) => !open(one)) };
}
