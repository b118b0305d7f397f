/** What a user, a thread, a run or an error id stands for. */

import { el, setText } from "../elements/dom.js";
import { duration } from "../client/format.js";
import { nameOf, shortId, who } from "./labels.js";
import { Table } from "./table.js";

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
