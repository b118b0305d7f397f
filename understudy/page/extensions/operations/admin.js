/** The sections of operations: figures, runs, queues, and the stop switches. */

import { number, run, text, time, timelineOf, user } from "../../admin/sections.js";
import { duration, size } from "../../client/format.js";
import { money, shortId, waiting, who } from "../../observer/labels.js";

const KINDS = Object.freeze({ agent: "Agent", tool: "Tool", model: "Model" });

export const SECTIONS = Object.freeze([
  {
    name: "overview", rank: 10, title: "Overview", none: "None.", key: (row) => row.key, hint: "Runs that ended are those of this node.",
    read: async (api) => {
      const now = await api.ask("GET", "admin/overview");
      const ended = Object.values(now.outcomes).reduce((sum, count) => sum + count, 0);
      const failed = ended - (now.outcomes.success ?? 0) - (now.outcomes.cancelled ?? 0);
      return [
        { key: "users", what: "Users", value: now.users.toLocaleString("en"), to: "#users" },
        { key: "connections", what: "Connections to this node", value: now.connections.toLocaleString("en"), to: "#users" },
        { key: "runs", what: "Runs at work", value: now.open_runs.toLocaleString("en"), to: "#runs" },
        { key: "ended", what: "Runs that ended in the last hour", value: ended.toLocaleString("en") },
        { key: "failed", what: "Failures of the last hour", value: failed.toLocaleString("en"), alarm: failed > 0 },
        ...now.failed.map((row) => ({ key: row.run_id, what: `Run ${shortId(row.run_id)}`, value: `${row.outcome} of ${who(row)}, ${duration(row.ago_s * 1000) || "0 s"} ago`, alarm: true, to: timelineOf(row) })),
        ...(now.database_bytes === null ? [] : [{ key: "storage", what: "Storage: the database", value: size(now.database_bytes) }]),
      ];
    },
    columns: [text("What", "what"), { title: "Now", wraps: true, text: (row) => row.value, alarm: (row) => row.alarm === true }],
    way: { label: "Show", to: (row) => row.to ?? null },
  },
  {
    name: "runs", rank: 40, title: "Runs", none: "Nobody is waiting for an answer.", key: (row) => row.run_id,
    read: async (api) => {
      const { open, currency } = await api.ask("GET", "observer/runs");
      return open.map((row) => ({ ...row, currency }));
    },
    columns: [
      run, user, text("Agent", "agent"), { title: "Waits for", text: waiting },
      { title: "Age", number: true, text: (row) => duration(row.age_s * 1000), order: (row) => row.age_s }, number("Tokens", "tokens"),
      { title: "Cost", number: true, text: (row) => money(row.cost, row.currency), order: (row) => row.cost },
    ],
    acts: [{
      label: "End the run", question: (row) => `End run ${shortId(row.run_id)} of ${who(row)}?`, done: (row) => `Run ${shortId(row.run_id)} ends.`,
      run: (api, row) => api.ask("POST", `observer/runs/${encodeURIComponent(row.run_id)}/stop`),
    }],
  },
  {
    name: "queues", rank: 50, title: "Queues", none: "None.", key: (row) => row.name,
    read: async (api) => Object.entries((await api.ask("GET", "observer/health")).pools).map(([name, pool]) => ({ name, waiting: 0, ...pool })),
    columns: [text("Pool", "name"), number("At work", "at_work"), number("Waiting", "waiting"), { title: "At most", number: true, text: (row) => row.total?.toLocaleString("en") ?? "", order: (row) => row.total ?? -1 }],
  },
  {
    name: "stops", rank: 70, title: "Stopped", none: "Nothing is stopped.", key: (row) => `${row.kind}/${row.name}`,
    read: async (api) => (await api.ask("GET", "stops")).stops,
    form: {
      agree: "Stop it", fields: { kind: "What", name: "Name", reason: "Reason, for users" }, options: { kind: KINDS },
      run: async (api, { kind, name, reason }) => {
        const made = await api.ask("PUT", `stops/${kind}/${encodeURIComponent(name)}`, { reason });
        return { sentence: `The ${made.kind} ${made.name} is stopped.${made.known ? "" : " This server has none of that name now: check the spelling."}` };
      },
    },
    columns: [{ title: "What", text: (row) => `${KINDS[row.kind]} ${row.name}` }, text("By", "who"), time("Since", "at"), text("Reason", "reason")],
    acts: [{
      label: "Allow it again", question: (row) => `Allow the ${row.kind} ${row.name} again?`, done: (row) => `The ${row.kind} ${row.name} is allowed again.`,
      run: (api, row) => api.ask("DELETE", `stops/${row.kind}/${encodeURIComponent(row.name)}`),
    }],
  },
]);
