/** The sections of the administration page: their rows, and the actions on a row. Pure. */

import { ROOT } from "../client/address.js";
import { moment, shortId, who } from "../observer/labels.js";
import { duration } from "../client/format.js";
import { AUDITORS, hasOne, OPERATORS } from "../client/connection/session.js";

// The columns that sections of the administration page have.

export const text = (title, name) => ({ title, text: (row) => row[name] ?? "" });
export const number = (title, name) => ({ title, number: true, text: (row) => row[name].toLocaleString("en"), order: (row) => row[name] });
export const time = (title, name) => ({ title, text: (row) => moment(row[name]), order: (row) => row[name] ?? -1 });
export const user = Object.freeze({ title: "User", text: who });
export const run = Object.freeze({ title: "Run", text: (row) => shortId(row.run_id) });

/** The address of a run's timeline. */
export const timelineOf = (row) => `${ROOT}/observer#run/${encodeURIComponent(row.run_id)}`;

const owned = ({ user: name, tenant }, what) => `${encodeURIComponent(name)}/${what}${tenant ? `?tenant=${encodeURIComponent(tenant)}` : ""}`;

/** Returns the value of a setting in words; for a secret, whether one is set. */
export function value(row) {
  if (row.secret && row.is_set) return "(secret)";
  if (row.secret || row.value === null || row.value === "") return "(not set)";
  return typeof row.value === "string" ? row.value : JSON.stringify(row.value);
}

/**
 * Of the sections of these parts, in their order, those whose requests the server answers for these roles: operators may not read what is for auditors, and auditors nothing else.
 * A part has `SECTIONS`, and `ACTS` for the rows of sections of others, by their names.
 */
export function sectionsOf(parts, roles) {
  const more = (name) => parts.flatMap(({ ACTS }) => ACTS?.[name] ?? []);
  return parts.flatMap((part) => part.SECTIONS ?? []).filter((section) => hasOne(roles, section.auditors ? AUDITORS : OPERATORS))
    .map((section) => (more(section.name).length > 0 ? { ...section, acts: [...more(section.name), ...section.acts ?? []] } : section))
    .sort((one, other) => (one.rank ?? Infinity) - (other.rank ?? Infinity));
}

/**
 * Sections, of operators unless they are for `auditors`, by their `rank`: `read(api, choice)` gives the rows; `choice` is {label, options}, of which one is chosen; a section may have
 * a `hint`. `acts` are what may be done to a row that it `fits`: `question(row)` is asked first, with `fields` to fill in that have
 * what is `given(row)`, and `run(api, row, filled)` does it and resolves to {sentence, link}, or nothing where `done(row)` says it. A
 * `way`, {label, to(row)}, leads from a row to an address, if that is not null. A `form` makes something. An act may have a
 * `panel(api, row, tried)` instead, {element, open(), refresh()}. A `hidden` section is reached from rows of another; its `place` is
 * what its address names, and ends its title. A section may be a `view(api, tried, roles)` as a whole, {element, open(), stop()}.
 */
export const SECTIONS = Object.freeze([
  {
    name: "users", rank: 20, title: "Users", none: "Nothing is stored of anybody.", key: (row) => `${row.tenant}/${row.user}`,
    read: async (api) => (await api.ask("GET", "admin/users?limit=500")).users,
    columns: [user, number("Threads", "threads"), number("Open runs", "open_runs"), number("Connections", "connections"), time("Last change", "updated_at")],
    acts: [{
      label: "End the sessions", question: (row) => `End all sessions of ${who(row)}?`, done: (row) => `The sessions of ${who(row)} have ended.`,
      run: (api, row) => api.ask("DELETE", `users/${owned(row, "sessions")}`),
    }],
    way: { label: "Show the runs", to: ({ user: name, tenant }) => `#user/${encodeURIComponent(name)}${tenant ? `/${encodeURIComponent(tenant)}` : ""}` },
  },
  {
    name: "user", rank: 20, title: "Latest runs of", hidden: true, none: "This user has no runs.", key: (row) => row.run_id,
    read: async (api, _choice, [name, tenant = null]) => (await api.ask("GET", `admin/users/${owned({ user: name, tenant }, "runs")}`)).runs,
    columns: [
      run, text("Agent", "agent"), { title: "Status", text: (row) => row.status, alarm: (row) => row.status === "failed" }, time("Began", "started_at"),
      { title: "Took", number: true, text: (row) => (row.ended_at === null ? "at work" : duration((row.ended_at - row.started_at) * 1000)), order: (row) => (row.ended_at ?? Infinity) - row.started_at },
    ],
    way: { label: "Show the run", to: timelineOf },
  },
  {
    name: "settings", rank: 90, title: "Settings", none: "None.", key: (row) => row.name,
    read: async (api) => (await api.ask("GET", "admin/settings")).settings,
    columns: [text("Setting", "name"), { title: "Value", text: value }, text("Source", "source")],
  },
]);
