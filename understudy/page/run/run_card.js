/** The card of a run: one line while it works and afterwards, which opens into its figures and its steps. */

import { LIVE } from "../client/threads/turns.js";
import { el, freshId, setText, arrange } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { RunStepsView } from "./run_steps.js";
import { UndoView } from "./undo.js";
import { duration } from "../client/format.js";
import { t, number } from "../client/messages.js";
import { activity, summary, tallied } from "./run_summary.js";

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
    // Steps with an operator's actions stay in sight.
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
    // The cost is read only if the user has opened the steps, not if they are open by themselves.
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

// The spending of a run and its budget: read from the server while they are in sight, and once at the end.

const AGAIN_MS = 4_000;
const NEAR = 0.8; // of a bound, from which it is said in colour and words

export class RunFigures {
  constructor(api, agents) {
    Object.assign(this, { api, agents, asked: null, timer: null });
    this.element = el("dl.run-figures", { hidden: true });
  }

  /** Shows the figures of a turn's run, again and again while it is `live`; null: of none. */
  show(turn, live) {
    const asked = turn?.runId ? `${turn.runId} ${live}` : null;
    if (asked === this.asked) return;
    this.asked = asked;
    clearTimeout(this.timer);
    if (asked === null) this.element.hidden = true;
    else this.#read(turn.runId, live, asked);
  }

  async #read(runId, live, asked) {
    try {
      const run = await this.api.run(runId);
      if (this.asked !== asked) return;
      this.#draw(run);
    } catch {
      if (this.asked !== asked) return; // they stay as they were: it is tried again while the run is at work
    }
    if (live) this.timer = setTimeout(() => (this.element.isConnected ? this.#read(runId, live, asked) : this.show(null)), AGAIN_MS);
  }

  #draw({ budget, usage }) {
    this.element.hidden = budget === null;
    if (budget === null) return;
    const words = this.agents.model?.name === "offline";
    const shown = Object.entries({
      turns: number, calls: number, ...(!words && (usage?.input || budget.tokens.limit) && { tokens: number }),
      ...(this.agents.model?.costs !== false && (budget.cost.limit || usage?.cost > 0) && { cost: (value) => this.#cost(value) }), wall_s: (value) => duration(value * 1000).replace(/ 0 s$/u, ""),
    });
    arrange(this.element, shown.map(([name, say]) => this.#figure(name, budget[name], say)));
  }

  #figure(name, { spent, limit }, say) {
    const near = limit !== null && spent >= NEAR * limit;
    const value = limit === null ? say(spent) : t("run.spent_of", { spent: say(spent), limit: say(limit) });
    return el("div", { "data-near": String(near) }, el("dt", {}, t(`run.figure_${name}`)), el("dd", {}, near ? t("run.nearly", { value }) : value));
  }

  #cost(value) {
    return `${number(Number(value.toPrecision(3)), { maximumFractionDigits: 6 })} ${this.agents.model?.currency ?? ""}`.trimEnd();
  }
}

// The messages to a run at work: what waits until the agent reads it, with a button to take it back, and what it has read.

const WAITS = Object.freeze({ next: "steer.waits_next", now: "steer.waits_now" });

export class SteersView {
  /** `page` has `onUnsteer(runId, steerId)`. */
  constructor(page) {
    this.page = page;
    this.rows = new Map(); // id -> {steer, live, element}
    this.element = el("div.steers");
  }

  update({ steers }, live) {
    arrange(this.element, steers.map((steer) => {
      const known = this.rows.get(steer.id);
      if (known?.steer === steer && known.live === live) return known.element;
      const element = this.#row(steer, live);
      this.rows.set(steer.id, { steer, live, element });
      return element;
    }));
  }

  #row({ id, runId, content, mode, state, by }, live) {
    const waits = live && state !== "taken";
    const back = waits && !by && state === "waiting" && mode === "next" && el("button.link", {
      type: "button", onclick: () => this.page.onUnsteer(runId, id),
    }, t("action.take_back"));
    const note = t(state === "sending" ? "steer.sending" : WAITS[mode] ?? "steer.waits");
    return el("div.steer", { "data-state": state },
      el(waits ? "div.bubble.is-waiting" : "div.bubble", { dir: "auto" }, content),
      el("p.steer-note", { role: "status" }, by ? t("steer.of_operator") : waits ? note : t("steer.read"), back && " · ", back));
  }
}
