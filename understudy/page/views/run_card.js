/** The card of a run: one line while it works and afterwards, which opens into its figures and its steps. */

import { LIVE } from "../client/threads/turns.js";
import { el, freshId, setText } from "./dom.js";
import { icon } from "./icons.js";
import { RunFigures } from "./run_figures.js";
import { RunStepsView } from "./run_steps.js";
import { SteersView } from "./steers.js";
import { UndoView } from "./undo.js";
import { duration } from "../client/format.js";
import { t } from "../client/messages.js";
import { activity, summary, tallied } from "../client/run_summary.js";

export class RunCardView {
  /** `page` is {agents, api, clock, onUnsteer, onUndo, onRetryStep, onDetails(turn)}; the last resolves to whether it could. */
  constructor(page) {
    this.page = page;
    this.unfolded = null; // what the user chose; null: open until the answer begins, which steps above it would push down
    this.countedFrom = null;
    const id = freshId("run");
    this.mark = el("span.work-mark");
    this.now = el("span.work-now");
    this.time = el("span.work-time");
    this.head = el("button.work-head", { type: "button", "aria-controls": id, onclick: () => this.#toggle() },
      this.mark, this.now, this.time, icon("chevron"));
    this.restarted = el("p.work-restarted", { hidden: true }, icon("retry"), t("run.restarted"));
    this.figures = new RunFigures(page.api, page.agents);
    this.steps = new RunStepsView(page);
    this.steers = new SteersView(page);
    this.undo = new UndoView(page);
    this.body = el("div.work-body", { id }, this.figures.element, this.steps.element);
    this.work = el("div.work", { role: "group", "aria-label": t("run.name") }, this.head, this.restarted, this.body);
    this.element = el("div.run-card", {}, this.work, this.steers.element); // what can be undone stands below the answer, which it must not push down
  }

  update(turn) {
    this.turn = turn;
    const live = LIVE.has(turn.status);
    const steps = turn.steps.filter((step) => step.kind !== "sanitized" && step.notice !== "resumed");
    this.steers.update(turn, live);
    this.undo.update(turn);
    const restarted = turn.steps.some(({ notice }) => notice === "resumed");
    this.work.hidden = live ? turn.startedAt === null : !restarted && !steps.some((step) => step.kind !== "agent");
    if (this.work.hidden) return;
    this.work.dataset.state = live ? "live" : "done";
    this.restarted.hidden = !restarted;
    this.#summarise(turn, steps, live);
    this.shown = { steps, live };
    // What an operator did is among the steps, and stays in sight.
    this.#unfold(this.unfolded ?? ((live && turn.stream.text === "") || steps.some(({ by }) => by)));
    this.#read();
  }

  #toggle() {
    this.unfolded = this.body.hidden;
    this.#unfold(this.unfolded);
    this.#read();
  }

  /** Reads what steps lack that somebody has unfolded; they are folded again if that fails. */
  async #read() {
    if (!this.unfolded || !this.turn.omitted || this.reading) return;
    this.reading = true;
    const read = await this.page.onDetails(this.turn);
    this.reading = false;
    if (read) return;
    this.unfolded = false;
    this.#unfold(false);
  }

  #unfold(open) {
    const { steps, live } = this.shown;
    this.body.hidden = !open;
    this.head.setAttribute("aria-expanded", String(open));
    // What it costs is asked for only where somebody looks: steps that are open by themselves say what it does.
    this.figures.show(open && this.unfolded ? this.turn : null, live);
    if (open) this.steps.show(steps, this.turn, live);
  }

  #summarise(turn, steps, live) {
    const { calls, failed } = tallied(steps);
    const { agents, clock } = this.page;
    const names = [...new Set(steps.filter((step) => step.kind === "agent").map((step) => agents.title(step.agentType, step.pillar)))];
    setText(this.now, live ? `${activity(turn)}${calls > 1 ? ` · ${t("run.calls", { count: calls })}` : ""}` : summary(turn, steps, names));
    if (live) {
      if (!this.mark.firstChild?.classList?.contains("spinner")) this.mark.replaceChildren(el("span.spinner"));
      if (this.countedFrom !== turn.startedAt) clock.count(this.time, turn.startedAt);
      this.countedFrom = turn.startedAt;
      return;
    }
    this.countedFrom = null;
    clock.stop(this.time);
    this.mark.replaceChildren(...(failed > 0 ? [icon("warning")] : []));
    setText(this.time, turn.startedAt && turn.endedAt ? duration(turn.endedAt - turn.startedAt) : "");
  }

  destroy() {
    this.figures.show(null, false);
    this.undo.destroy();
  }
}
