/** What the administration page lists, and what may be done to a row. Pure. */

import { ROOT } from "../client/address.js";
import { duration, size } from "../client/format.js";
import { moment, money, shortId, waiting, who } from "../observer/labels.js";
import { AUDITORS, hasOne, OPERATORS } from "../observer/roles.js";

const number = (title, name) => ({ title, number: true, text: (row) => row[name].toLocaleString("en"), order: (row) => row[name] });
const text = (title, name) => ({ title, text: (row) => row[name] ?? "" });
const user = { title: "User", text: who };
const owned = ({ user: name, tenant }, what) => `${encodeURIComponent(name)}/${what}${tenant ? `?tenant=${encodeURIComponent(tenant)}` : ""}`;
const run = { title: "Run", text: (row) => shortId(row.run_id) };
const timelineOf = (row) => `${ROOT}/observer#run/${encodeURIComponent(row.run_id)}`;

const time = (title, name) => ({ title, text: (row) => moment(row[name]), order: (row) => row[name] ?? -1 });

/** What a setting is, in words; of a secret, whether there is one. */
export function value(row) {
  if (row.secret && row.is_set) return "(secret)";
  if (row.secret || row.value === null || row.value === "") return "(not set)";
  return typeof row.value === "string" ? row.value : JSON.stringify(row.value);
}

/** The path of a run for the operator who takes it over. */
export const runPath = (row) => `admin/runs/${encodeURIComponent(row.run_id)}`;

/** The text of an event of a run: what somebody wrote, or else the server's sentence. */
export function eventText({ data, message }) {
  return data.content || data.result || message || data.message || "";
}

export const BY = Object.freeze({ user: "User", group: "Group", agent: "Agent", model: "Model", day: "Day" });
export const KINDS = Object.freeze({ agent: "Agent", tool: "Tool", model: "Model" });

/** What an invite or a reset of an account says: the link, which is told once. */
const linked = ({ name, path }) => ({ sentence: `Send this link to ${name}; it is shown only here, and works once:`, link: new URL(ROOT + path, location.origin).href });

const words = (given) => given.split(",").map((word) => word.trim()).filter(Boolean);
const account = (row) => `admin/accounts/${encodeURIComponent(row.name)}`;

/** The section of the audit log, which is read when its user says so: `AuditLog` is what it shows. */
export const AUDIT = Object.freeze({ name: "audit", title: "Audit log" });

/** The sections whose requests the server answers for these roles: operators may not read the audit log, and auditors nothing else. */
export function sectionsOf(roles) {
  return [...(hasOne(roles, OPERATORS) ? SECTIONS : []), ...(hasOne(roles, AUDITORS) ? [AUDIT] : [])];
}

/**
 * Sections of operators: `read(api, choice)` gives the rows; `choice` is {label, options}, of which one is chosen; a section may have
 * a `hint`. `acts` are what may be done to a row that it `fits`: `question(row)` is asked first, with `fields` to fill in that have
 * what is `given(row)`, and `run(api, row, filled)` does it and resolves to {sentence, link}, or nothing where `done(row)` says it. A
 * `way`, {label, to(row)}, leads from a row to an address, if that is not null. A `form` makes something. Rows of a section with
 * `taken` are runs, which may be taken over. A `hidden` section is reached from rows of another;
 * its `place` is what its address names, and ends its title.
 */
export const SECTIONS = Object.freeze([
  {
    name: "overview", title: "Overview", none: "None.", key: (row) => row.key, hint: "Runs that ended are those of this node.",
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
    name: "users", title: "Users", none: "Nothing is stored of anybody.", key: (row) => `${row.tenant}/${row.user}`,
    read: async (api) => (await api.ask("GET", "admin/users?limit=500")).users,
    columns: [user, number("Threads", "threads"), number("Open runs", "open_runs"), number("Connections", "connections"), time("Last change", "updated_at")],
    acts: [{
      label: "End the sessions", question: (row) => `End all sessions of ${who(row)}?`, done: (row) => `The sessions of ${who(row)} have ended.`,
      run: (api, row) => api.ask("DELETE", `users/${owned(row, "sessions")}`),
    }],
    way: { label: "Show the runs", to: ({ user: name, tenant }) => `#user/${encodeURIComponent(name)}${tenant ? `/${encodeURIComponent(tenant)}` : ""}` },
  },
  {
    name: "user", title: "Latest runs of", hidden: true, none: "This user has no runs.", key: (row) => row.run_id,
    read: async (api, _choice, [name, tenant = null]) => (await api.ask("GET", `admin/users/${owned({ user: name, tenant }, "runs")}`)).runs,
    columns: [
      run, text("Agent", "agent"), { title: "Status", text: (row) => row.status, alarm: (row) => row.status === "failed" }, time("Began", "started_at"),
      { title: "Took", number: true, text: (row) => (row.ended_at === null ? "at work" : duration((row.ended_at - row.started_at) * 1000)), order: (row) => (row.ended_at ?? Infinity) - row.started_at },
    ],
    way: { label: "Show the run", to: timelineOf },
  },
  {
    name: "accounts", title: "Accounts", none: "Users of this server have no passwords of its own.", key: (row) => row.name,
    read: async (api) => {
      try {
        return (await api.ask("GET", "admin/accounts")).accounts;
      } catch (refused) {
        if (refused.status === 404) return [];
        throw refused;
      }
    },
    columns: [text("Name", "name"), text("State", "state"), { title: "Roles", text: (row) => row.roles.join(", ") }, { title: "Groups", text: (row) => row.groups.join(", ") }, time("Made", "created_at")],
    form: {
      agree: "Invite", fields: { name: "Name", roles: "Roles, with commas between", groups: "Groups, with commas between" }, optional: ["roles", "groups"],
      run: async (api, { name, roles, groups }) => linked(await api.ask("POST", "admin/accounts", { name, roles: words(roles), groups: words(groups) })),
    },
    acts: [
      {
        label: "Change the rights", question: (row) => `Change the rights of ${row.name}? The sessions end, and the user signs in again.`, done: (row) => `${row.name} has other rights now.`,
        fields: { roles: "Roles, with commas between", groups: "Groups, with commas between" }, given: (row) => ({ roles: row.roles.join(", "), groups: row.groups.join(", ") }),
        run: (api, row, { roles, groups }) => api.ask("PATCH", account(row), { roles: words(roles), groups: words(groups) }).then(() => null),
      },
      {
        label: "Make a new link", question: (row) => `Take the password of ${row.name} away, and make a link to set another?`, run: async (api, row) => linked(await api.ask("POST", `${account(row)}/invite`, {})),
      },
      {
        label: "Disable", fits: (row) => row.state !== "disabled", question: (row) => `Let nobody sign in as ${row.name}, and end all sessions?`, done: (row) => `Nobody signs in as ${row.name} any more.`,
        run: (api, row) => api.ask("PATCH", account(row), { disabled: true }).then(() => null),
      },
    ],
  },
  {
    name: "runs", title: "Runs", taken: true, none: "Nobody is waiting for an answer.", key: (row) => row.run_id,
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
    name: "queues", title: "Queues", none: "None.", key: (row) => row.name,
    read: async (api) => Object.entries((await api.ask("GET", "observer/health")).pools).map(([name, pool]) => ({ name, waiting: 0, ...pool })),
    columns: [text("Pool", "name"), number("At work", "at_work"), number("Waiting", "waiting"), { title: "At most", number: true, text: (row) => row.total?.toLocaleString("en") ?? "", order: (row) => row.total ?? -1 }],
  },
  {
    name: "spending", title: "Spending", hint: "Of the last 30 days, in UTC.", none: "Nothing was spent in the last 30 days.", choice: { label: "By", options: BY },
    key: (row) => `${row.tenant ?? ""}/${row.what}`,
    read: async (api, by) => {
      const { spending: rows, currency } = await api.ask("GET", `admin/spending?by=${by}&days=30`);
      return rows.map((row) => ({ ...row, what: by === "user" ? who(row) : row[by] ?? "(not known)", currency }));
    },
    columns: [text("Spent by", "what"), number("Tokens", "tokens"), { title: "Cost", number: true, text: (row) => money(row.cost, row.currency), order: (row) => row.cost }, number("Runs", "runs")],
  },
  {
    name: "stops", title: "Stopped", none: "Nothing is stopped.", key: (row) => `${row.kind}/${row.name}`,
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
  {
    name: "sign-ins", title: "MCP sign-ins", none: "Nobody is signed in at an MCP server.", key: (row) => `${row.tenant}/${row.user}/${row.server}`,
    read: async (api) => (await api.ask("GET", "admin/sign-ins")).sign_ins,
    columns: [user, text("Server", "server"), time("Since", "signed_in_at")],
  },
  {
    name: "settings", title: "Settings", none: "None.", key: (row) => row.name,
    read: async (api) => (await api.ask("GET", "admin/settings")).settings,
    columns: [text("Setting", "name"), { title: "Value", text: value }, text("Source", "source")],
  },
]);
