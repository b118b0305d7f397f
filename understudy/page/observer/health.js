/** Checks with circuit breakers, pools, and how long operations took. */

import { el } from "../elements/dom.js";
import { duration } from "../client/format.js";
import { Table } from "./table.js";

const ms = (name) => ({ number: true, text: (row) => `${row[name].toLocaleString("en")} ms`, order: (row) => row[name] });

export class HealthView {
  constructor(api) {
    this.api = api;
    this.checks = new Table({
      caption: "Checks", none: "None.", key: (row) => row.name,
      columns: [
        { title: "Part", text: (row) => row.name }, { title: "Status", text: (row) => row.status, alarm: (row) => row.status !== "ok" },
        { title: "Since", number: true, text: (row) => (row.since_s === undefined ? "" : duration(row.since_s * 1000)), order: (row) => row.since_s ?? -1 },
        { title: "Note", text: (row) => row.note ?? "" },
      ],
    });
    this.pools = new Table({
      caption: "Pools", none: "None.", key: (row) => row.name,
      columns: [
        { title: "Pool", text: (row) => row.name },
        { title: "At work", number: true, text: (row) => (row.total ? `${row.at_work} of ${row.total}` : row.at_work), order: (row) => row.at_work },
        { title: "Waiting", number: true, text: (row) => row.waiting ?? "", order: (row) => row.waiting ?? -1, alarm: (row) => row.waiting > 0 },
        { title: "Lost", number: true, text: (row) => row.lost ?? "", order: (row) => row.lost ?? -1, alarm: (row) => row.lost > 0 },
      ],
    });
    this.operations = new Table({
      caption: "Operations of the last five minutes", none: "None.", key: (row) => `${row.operation} ${row.name}`,
      columns: [
        { title: "Operation", text: (row) => (row.name ? `${row.operation} ${row.name}` : row.operation) },
        { title: "Count", number: true, text: (row) => row.count.toLocaleString("en"), order: (row) => row.count },
        { title: "Half below", ...ms("p50_ms") }, { title: "95 % below", ...ms("p95_ms") }, { title: "99 % below", ...ms("p99_ms") }, { title: "Longest", ...ms("max_ms") },
      ],
    });
    this.element = el("div.sheet", {}, el("h2", {}, "Checks and circuit breakers"), this.checks.element,
      el("h2", {}, "Pools"), this.pools.element, el("h2", {}, "Operations, last 5 minutes"), this.operations.element);
  }

  async refresh() {
    const { health, pools, activity } = await this.api.health();
    const named = (things) => Object.entries(things).map(([name, thing]) => ({ name, ...thing }));
    this.checks.show(named(health.checks));
    this.pools.show(named(pools));
    this.operations.show(activity.operations);
  }
}
