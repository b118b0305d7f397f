/** What a run has spent of what it may spend: asked of the server while somebody looks, and once at its end. */

import { arrange, el } from "./dom.js";
import { duration } from "../client/format.js";
import { number, t } from "../client/messages.js";

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
