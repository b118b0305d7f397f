/** Users and their connections: who is here, who works, who spends, and whose line is slow. */

import { el } from "../elements/dom.js";
import { duration, size } from "../client/format.js";
import { money, who } from "./labels.js";
import { Table } from "./table.js";

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
