/** The views beside the tree: runs, users with their connections, health, and the results of a search. */

import { el, setText } from "../elements/dom.js";
import { duration, size } from "../client/format.js";
import { money, shortId, waiting, who, nameOf } from "./labels.js";
import { Table } from "./table.js";

// The runs without an end, the silent ones in red, and those that ended last.

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

// Users and their connections: who is here, who works, who spends, and whose line is slow.

const SLOW_MS = 1000;

export class PeopleView {
  /** `onUser(row)` looks for a user's runs. */
  constructor(api, onUser) {
    this.api = api;
    this.users = new Table({
      caption: "Users", none: "Nobody is here.", key: (row) => `${row.tenant}/${row.user}`, onPick: onUser,
      columns: [
        { title: "User", text: who },
        { title: "Connections", number: true, text: (row) => row.connections, order: (row) => row.connections },
        { title: "Open runs", number: true, text: (row) => row.open_runs, order: (row) => row.open_runs },
        { title: "Ended here", number: true, text: (row) => row.ended_runs, order: (row) => row.ended_runs },
        { title: "Tokens today", number: true, text: (row) => row.tokens.toLocaleString("en"), order: (row) => row.tokens },
        { title: "Cost today", number: true, text: (row) => money(row.cost, this.currency), order: (row) => row.cost },
      ],
    });
    this.connections = new Table({
      caption: "Connections", none: "No connection.", key: (row) => row.connection_id,
      columns: [
        { title: "User", text: who }, { title: "Connection", text: (row) => row.connection_id.slice(0, 12) }, { title: "Kind", text: (row) => row.dialect },
        { title: "Open for", number: true, text: (row) => (row.age_s === null ? "" : duration(row.age_s * 1000)), order: (row) => row.age_s ?? -1 },
        { title: "Round trip", number: true, text: (row) => (row.rtt_ms === null ? "" : `${row.rtt_ms} ms`), order: (row) => row.rtt_ms ?? -1, alarm: (row) => row.rtt_ms > SLOW_MS },
        { title: "Queued", number: true, text: (row) => (row.bytes ? `${row.events} in ${size(row.bytes)}` : ""), order: (row) => row.bytes ?? -1 },
        { title: "Behind", number: true, text: (row) => (row.behind ? `${row.behind} threads` : ""), order: (row) => row.behind ?? -1, alarm: (row) => row.behind > 0 },
      ],
    });
    this.element = el("div.sheet", {}, el("h2", {}, "Users"), this.users.element, el("h2", {}, "Connections"), this.connections.element);
  }

  async refresh() {
    const [users, connections] = await Promise.all([this.api.users(), this.api.connections()]);
    this.currency = users.currency;
    this.users.show(users.users);
    this.connections.show(connections.connections);
  }
}

// Checks with circuit breakers, pools, and how long operations took.

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

// The search for a user, a thread, a run or an error id.

export class FindView {
  /** `on` has run(id), text(text) and actor(path). */
  constructor(api, on) {
    this.api = api;
    this.text = "";
    this.result = el("p.result", { role: "status" });
    this.runs = new Table({
      caption: "Runs", none: "No run.", key: (row) => row.run_id, onPick: (row) => on.run(row.run_id),
      columns: [
        { title: "Run", text: (row) => shortId(row.run_id) }, { title: "User", text: who }, { title: "Thread", text: (row) => row.thread_id }, { title: "Agent", text: (row) => row.agent },
        { title: "Status", text: (row) => row.status, alarm: (row) => row.status === "failed" },
        { title: "Began", text: (row) => new Date(row.started_at * 1000).toLocaleString(), order: (row) => row.started_at },
        { title: "Took", number: true, text: (row) => (row.ended_at === null ? "at work" : duration((row.ended_at - row.started_at) * 1000)), order: (row) => (row.ended_at ?? Infinity) - row.started_at },
      ],
    });
    this.users = new Table({ caption: "Users", none: "No user.", key: (row) => `${row.tenant}/${row.user}`, onPick: (row) => on.text(row.user), columns: [{ title: "User", text: who }] });
    this.threads = new Table({
      caption: "Threads", none: "No thread.", key: (row) => row.thread_id, onPick: (row) => on.text(row.thread_id),
      columns: [{ title: "Thread", text: (row) => row.thread_id }, { title: "User", text: who }],
    });
    this.incidents = new Table({
      caption: "Incidents", none: "No incident.", key: (row) => row.number, onPick: (row) => on.actor(row.path),
      columns: [{ title: "Actor", text: (row) => nameOf(row.path) }, { title: "Error", text: (row) => row.error }, { title: "Error id", text: (row) => row.error_id }],
    });
    this.parts = [["Runs", this.runs], ["Users", this.users], ["Threads", this.threads], ["Incidents", this.incidents]]
      .map(([title, table]) => ({ title, table, element: el("section", {}, el("h2", {}, title), table.element) }));
    this.element = el("div.sheet", {}, this.result, this.parts.map(({ element }) => element));
  }

  async open(text) {
    this.text = text;
    await this.refresh();
  }

  async refresh() {
    const { text } = this;
    if (!text) return;
    const found = await this.api.find(text);
    if (text !== this.text) return;
    const counts = { Runs: found.runs, Users: found.users, Threads: found.threads, Incidents: found.incidents };
    for (const { title, table, element } of this.parts) {
      table.show(counts[title]);
      element.hidden = counts[title].length === 0;
    }
    const all = Object.values(counts).reduce((sum, rows) => sum + rows.length, 0);
    setText(this.result, all === 0 ? `Nothing is called ${text}. Ids are found by their beginning, users by part of their name.` : `Found for ${text}`);
  }
}
