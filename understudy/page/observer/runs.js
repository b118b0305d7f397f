/** The runs without an end, the silent ones in red, and those that ended last. */

import { el } from "../elements/dom.js";
import { duration } from "../client/format.js";
import { money, shortId, waiting, who } from "./labels.js";
import { Table } from "./table.js";

const SILENT_S = 30; // a run that sends nothing for so long is shown in red: by itself it sends its progress after 10 s

export class RunsView {
  /** `onRun(id)` shows one. */
  constructor(api, onRun) {
    this.api = api;
    const pick = (row) => onRun(row.run_id);
    this.open = new Table({
      caption: "Open runs", none: "Nobody is waiting for an answer.", key: (row) => row.run_id, onPick: pick,
      columns: [
        { title: "Run", text: (row) => shortId(row.run_id) }, { title: "User", text: who }, { title: "Agent", text: (row) => row.agent },
        { title: "Waits for", text: waiting },
        { title: "Silent", number: true, text: (row) => (row.here ? duration(row.silent_s * 1000) : "elsewhere"), order: (row) => row.silent_s, alarm: isSilent },
        { title: "Age", number: true, text: (row) => duration(row.age_s * 1000), order: (row) => row.age_s },
        { title: "Tokens", number: true, text: (row) => row.tokens.toLocaleString("en"), order: (row) => row.tokens },
        { title: "Cost", number: true, text: (row) => money(row.cost, this.currency), order: (row) => row.cost },
        { title: "Resumed", number: true, text: (row) => (row.attempts > 0 ? row.attempts : ""), order: (row) => row.attempts },
      ],
    });
    this.ended = new Table({
      caption: "Ended runs", none: "None since the server started.", key: (row) => row.run_id, onPick: pick,
      columns: [
        { title: "Run", text: (row) => shortId(row.run_id) }, { title: "User", text: who },
        { title: "Outcome", text: (row) => row.outcome, alarm: (row) => row.outcome !== "success" && row.outcome !== "cancelled" },
        { title: "Ended", number: true, text: (row) => `${duration(row.ago_s * 1000)} ago`, order: (row) => row.ago_s },
        { title: "First event", number: true, text: (row) => (row.first_s === null ? "" : duration(row.first_s * 1000)), order: (row) => row.first_s ?? -1 },
        { title: "Took", number: true, text: (row) => (row.seconds === null ? "" : duration(row.seconds * 1000)), order: (row) => row.seconds ?? -1 },
      ],
    });
    this.element = el("div.sheet", {}, el("h2", {}, "Open runs"), this.open.element, el("h2", {}, "Ended last"), this.ended.element);
  }

  async refresh() {
    const { open, ended, currency } = await this.api.runs();
    this.currency = currency;
    this.open.show(open);
    this.ended.show(ended);
  }
}

/** Only a silence that nobody asked for: consents and questions wait for a person. */
function isSilent({ here, silent_s: silence, waits_for: kind }) {
  return here && silence >= SILENT_S && kind !== "consent" && kind !== "question" && kind !== "queue";
}
