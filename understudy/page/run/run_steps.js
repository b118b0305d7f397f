/** The steps of a run as a timeline: rows that keep their places, many quiet calls as one. */

import { arrange, el } from "../elements/dom.js";
import { groupRow, stepRow } from "./step.js";
import { t } from "../client/messages.js";
import { grouped, isQuiet, nested } from "./run_summary.js";

export class RunStepsView {
  /** `page` is {agents, clock, onUndo, onRetryStep}. */
  constructor(page) {
    this.page = page;
    this.rows = new Map(); // step key -> {step, until, element, list}
    this.groups = new Map(); // group key -> {element, update}
    this.element = el("ol.steps");
  }

  /** Shows `steps` of a turn that is `live` or has ended. */
  show(steps, turn, live) {
    this.turn = turn;
    if (steps.some(({ compact }) => compact)) {
      arrange(this.element, [el("li.step.hint", {}, t("step.loading"))]);
      return;
    }
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
    fill(this.element, top);
  }

  /** The row of one step as {element, list}, made anew when the step has changed; `inner` are the steps below it. */
  #row(step, until, live, inner) {
    const known = this.rows.get(step.key);
    if (known && known.step === step && known.until === until && known.live === live) return known;
    const element = stepRow(step, until, this.page, live ? null : () => this.turn, inner);
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
