/** The steps of a run: live while it works, afterwards one line that unfolds. */

import { LIVE } from "../client/turns.js";
import { arrange, el, freshId, setText } from "./dom.js";
import { suspicious } from "../client/findings.js";
import { icon } from "./icons.js";
import { callTitle, groupRow, stepRow } from "./step.js";
import { count, duration } from "../client/format.js";
import { grouped, isQuiet, nested } from "../client/step_groups.js";

export class RunStepsView {
  /** `page` is {agents, clock, onUndo}. */
  constructor(page) {
    this.page = page;
    this.rows = new Map(); // step key -> {step, until, element, list}
    this.groups = new Map(); // group key -> {element, update}
    this.unfolded = null; // what the user chose; null: open until the answer begins, which steps above it would push down
    const id = freshId("steps");
    this.mark = el("span.work-mark");
    this.now = el("span.work-now");
    this.time = el("span.work-time");
    this.head = el("button.work-head", { type: "button", "aria-controls": id, onclick: () => this.#toggle() },
      this.mark, this.now, this.time, icon("chevron"));
    this.list = el("ol.steps", { id });
    this.element = el("section.work", { "aria-label": "Work" }, this.head, this.list);
  }

  update(turn) {
    const live = LIVE.has(turn.status);
    const steps = turn.steps.filter((step) => step.kind !== "sanitized");
    const telling = steps.some((step) => step.kind !== "agent");
    this.element.hidden = live ? turn.startedAt === null : !telling;
    if (this.element.hidden) return;
    this.live = live;
    this.element.dataset.state = live ? "live" : "done";
    this.#summarise(turn, steps, live);
    this.#unfold(this.unfolded ?? (live && turn.stream.text === ""));
    if (!this.list.hidden) this.#showSteps(steps, turn, live);
    this.pending = { steps, turn, live };
  }

  #toggle() {
    this.unfolded = this.list.hidden;
    this.#unfold(this.unfolded);
    if (this.unfolded) this.#showSteps(this.pending.steps, this.pending.turn, this.pending.live);
  }

  #unfold(open) {
    this.list.hidden = !open;
    this.head.setAttribute("aria-expanded", String(open));
  }

  #summarise(turn, steps, live) {
    const calls = steps.filter(({ kind }) => kind === "tool").length;
    const text = live ? `${activity(turn, steps)}${calls > 1 ? ` · ${count(calls, "call")}` : ""}` : past(turn, steps, this.page.agents);
    setText(this.now, text);
    if (live) {
      if (!this.mark.firstChild?.classList?.contains("spinner")) this.mark.replaceChildren(el("span.spinner"));
      if (!this.counting) this.page.clock.count(this.time, turn.startedAt);
      this.counting = true;
    } else {
      this.page.clock.stop(this.time);
      this.mark.replaceChildren();
      setText(this.time, turn.startedAt && turn.endedAt ? duration(turn.endedAt - turn.startedAt) : "");
    }
  }

  #showSteps(steps, turn, live) {
    const ends = new Map(steps.map((step, index) => [step.key, endOf(step, steps[index + 1], turn, live)]));
    const { top, below } = nested(steps);
    const fill = (list, own) => arrange(list, grouped(own, live, below).map((one) => {
      if (!one.steps) return row(one);
      if (!this.groups.has(one.key)) this.groups.set(one.key, groupRow());
      const group = this.groups.get(one.key);
      group.update(one, ends, row);
      return group.element;
    }));
    const row = (step) => {
      const inner = step.kind === "tool" ? below.get(step.callId) : undefined;
      const shown = this.#row(step, ends.get(step.key), live, inner);
      if (inner) {
        shown.list ??= el("ol.steps");
        shown.element.append(shown.list);
        shown.element.dataset.inner = isQuiet(step, below) ? "folded" : "shown";
        fill(shown.list, inner);
      }
      return shown.element;
    };
    fill(this.list, top);
  }

  /** The row of one step as {element, list}, made anew when the step has changed; `inner` are the steps below it. */
  #row(step, until, live, inner) {
    const known = this.rows.get(step.key);
    if (known && known.step === step && known.until === until && known.live === live) return known;
    const element = stepRow(step, until, this.page, !live, inner);
    if (!known && live && this.groups.size === 0) element.classList.add("is-new"); // many quick calls would flicker
    if (known?.element.querySelector("details")?.open) element.querySelector("details").open = true;
    if (known?.element.contains(document.activeElement)) queueMicrotask(() => element.querySelector("summary")?.focus());
    if (known) known.element.replaceWith(element);
    const shown = { step, until, live, element, list: known?.list };
    this.rows.set(step.key, shown);
    return shown;
  }
}

/** When a step ended, in server ms; null while it goes on. A thought lasts until the next step. */
function endOf(step, next, turn, live) {
  if (step.status === "running") return live ? null : turn.endedAt;
  if (step.endedAt) return step.endedAt;
  if (next) return next.at;
  return live && turn.stream.text === "" ? null : turn.endedAt ?? step.at;
}

function activity(turn, steps) {
  if (turn.stopping) return "Stopping";
  if (turn.progress?.note) {
    const { done, total, note } = turn.progress;
    return total > 0 ? `${note} · ${Math.min(Math.round((done / total) * 100), 100)} %` : note;
  }
  const tools = steps.filter((step) => step.kind === "tool" && step.status === "running");
  if (tools.some((step) => step.approval?.state === "open")) return "Waiting for your approval";
  if (turn.questions.some(({ state }) => state === "open")) return "Waiting for your answer";
  if (tools.length > 1) return `Running ${tools.length} tools`;
  if (tools.length === 1) return callTitle(tools[0]);
  if (turn.stream.text !== "") return "Writing the answer";
  const last = steps.findLast((step) => step.kind === "thinking" || step.kind === "handoff");
  return last?.kind === "thinking" && last.text ? last.text : "Working";
}

function past(turn, steps, agents) {
  const calls = steps.filter((step) => step.kind === "tool");
  const tools = new Set(calls.map(({ tool }) => tool)).size;
  const names = [...new Set(steps.filter((step) => step.kind === "agent").map((step) => agents.title(step.agentType, step.pillar)))];
  const did = tools > 0 ? `Used ${count(tools, "tool")}${calls.length > tools ? ` · ${count(calls.length, "call")}` : ""}` : "Thought about it";
  const warned = steps.some((step) => suspicious(step.found ?? [])) ? " · suspicious result" : "";
  const stopped = turn.status === "cancelled" ? "Stopped · " : "";
  return stopped + did + (names.length > 1 ? ` · ${names.join(" → ")}` : "") + warned;
}
