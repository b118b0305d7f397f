/** The numbers that an operator looks at first. */

import { el, setText } from "../elements/dom.js";

const NAMES = Object.freeze({
  connections: "Connections", conversations: "Conversations", runs: "Runs at work", runs_waiting: "Runs waiting",
  writes_waiting: "Writes queued", readers_at_work: "Readers busy", reads_waiting: "Reads queued", incidents: "Incidents",
  dead_letters: "Dead letters",
});

export class Counters {
  constructor() {
    this.values = new Map(Object.keys(NAMES).map((name) => [name, el("dd", {}, "–")]));
    this.element = el("section", { "aria-label": "Counts" }, // a landmark: a list alone would stand outside of all
      el("dl.counters", {}, [...this.values].map(([name, value]) => el("div", {}, el("dt", {}, NAMES[name]), value))));
  }

  show(counts) {
    for (const name of this.values.keys()) this.set(name, counts[name] ?? 0);
  }

  set(name, count) {
    setText(this.values.get(name), count.toLocaleString("en"));
  }
}
