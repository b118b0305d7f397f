/** The pure parts of the administration page: its columns, and the requests behind them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { AdminApi } from "../../understudy/page/admin/admin.js";
import { SECTIONS as OWN, sectionsOf, value } from "../../understudy/page/admin/sections.js";
import { SECTIONS as OPERATIONS } from "../../understudy/page/extensions/operations/admin.js";
import { SECTIONS as ACCOUNTS } from "../../understudy/page/extensions/accounts/admin.js";
import { SECTIONS as MCP } from "../../understudy/page/extensions/mcp/admin.js";
import { SECTIONS as SPENDING } from "../../understudy/page/extensions/spending/admin.js";
import { moment } from "../../understudy/page/observer/labels.js";

const SECTIONS = [...OWN, ...OPERATIONS, ...ACCOUNTS, ...MCP, ...SPENDING];
const section = (wanted) => SECTIONS.find(({ name }) => name === wanted);

/** An API whose server gives these answers by path, and the requests that it was sent. */
function served(answers) {
  const asked = [];
  const fetch = async (path, { method, headers, body }) => {
    asked.push([method, path, headers.Authorization, body ?? null]);
    const [status, content] = answers[path] ?? [404, { error: { message: "Not found." } }];
    return { ok: status < 400, status, json: async () => content };
  };
  return { api: new AdminApi("secret", { fetch }), asked };
}

test("operators do not get what is for auditors, auditors get nothing else, and who is both gets all", () => {
  const audit = { name: "audit", auditors: true };
  const named = (roles) => sectionsOf([{ SECTIONS: [audit, ...SECTIONS] }], roles).map(({ name }) => name);
  const ours = ["overview", "users", "user", "accounts", "runs", "queues", "spending", "stops", "sign-ins", "settings"];
  for (const role of ["operator", "server_operator"]) assert.deepEqual(named([role]), ours);
  for (const role of ["auditor", "server_auditor"]) assert.deepEqual(named(["metrics", role]), ["audit"]);
  assert.deepEqual(named(["auditor", "operator"]), [...ours, "audit"]);
  assert.deepEqual(named(["metrics"]), []);
});

test("an extension adds what may be done to rows of another's section, before what that has", () => {
  const [one, plain] = sectionsOf([{ SECTIONS: [{ name: "runs", acts: [2] }, { name: "users" }] }, { ACTS: { runs: [1] } }], ["operator"]);
  assert.deepEqual([one.acts, plain.acts], [[1, 2], undefined]);
});

test("a secret is never shown, other values are", () => {
  assert.equal(value({ secret: true, is_set: true, value: null }), "(secret)");
  assert.equal(value({ secret: true, is_set: false, value: null }), "(not set)");
  assert.deepEqual([value({ value: "x" }), value({ value: 0 }), value({ value: ["a"] })], ["x", "0", '["a"]']);
  assert.deepEqual([value({ value: null }), value({ value: "" })], ["(not set)", "(not set)"]);
});

test("times are dates", () => {
  assert.match(moment(0), /^19(69|70)-\d\d-\d\d \d\d:\d\d$/);
  assert.deepEqual([moment(null), moment(undefined)], ["", ""]);
});

test("names that others chose are parts of a path, and no path", async () => {
  const { api, asked } = served({});
  const rows = {
    users: { user: "a/../b", tenant: "x&y" }, runs: { run_id: "r/1" }, stops: { kind: "model", name: "openai:gpt/5" },
  };
  for (const [name, row] of Object.entries(rows)) {
    await assert.rejects(section(name).acts.find((act) => act.run).run(api, row), ({ status, message }) => status === 404 && message === "Not found.");
  }
  assert.deepEqual(asked.map(([method, path]) => `${method} ${path}`), [
    "DELETE /api/users/a%2F..%2Fb/sessions?tenant=x%26y", "POST /api/observer/runs/r%2F1/stop", "DELETE /api/stops/model/openai%3Agpt%2F5",
  ]);
});

test("each section reads rows and has a column for each of what it shows", async () => {
  const spent = { user: "ada", tenant: null, agent: null, model: "m", day: "2026-11-23", tokens: 1200, cost: 0.5, runs: 2 };
  const answers = {
    "/api/admin/overview": [200, { users: 1200, open_runs: 3, database_bytes: 4096, connections: 2, outcomes: { success: 4, cancelled: 1, agent_failed: 2 }, failed: [{ run_id: "f", user: "ada", tenant: null, outcome: "agent_failed", ago_s: 61 }] }],
    "/api/admin/users/ada%2F1/runs?tenant=acme": [200, { runs: [{ run_id: "r", user: "ada/1", tenant: "acme", thread_id: "t", agent: "a", status: "failed", started_at: 1, ended_at: 3 }] }],
    "/api/admin/users?limit=500": [200, { users: [{ user: "ada", tenant: "acme", threads: 1, open_runs: 0, connections: 2, updated_at: null }] }],
    "/api/observer/runs": [200, { open: [{ run_id: "r", user: "ada", tenant: null, agent: "a", waits_for: "tool", waits_for_name: "t", age_s: 3, tokens: 5, cost: 0 }], currency: "EUR" }],
    "/api/observer/health": [200, { pools: { runs: { at_work: 1, waiting: 0, total: 4 } } }],
    "/api/admin/accounts": [200, { accounts: [{ name: "ada", state: "invited", roles: ["a", "b"], groups: [], created_at: 1 }] }],
    "/api/stops": [200, { stops: [{ kind: "tool", name: "t", who: "op", at: 1, reason: "why" }] }],
    "/api/admin/sign-ins": [200, { sign_ins: [{ user: "ada", tenant: null, server: "crm", signed_in_at: 1 }] }],
    "/api/admin/settings": [200, { settings: [{ name: "port", value: 1, secret: false, is_set: true, source: "f" }] }],
    ...Object.fromEntries(["user", "group", "agent", "model", "day"].map((by) => [`/api/admin/spending?by=${by}&days=30`, [200, { spending: [spent], currency: "EUR" }]])),
  };
  const { api, asked } = served(answers);
  const shown = {};
  for (const { name, read, columns, key, choice } of SECTIONS) {
    for (const chosen of Object.keys(choice?.options ?? { "": "" })) {
      const [row] = await read(api, chosen, ["ada/1", "acme"]);
      assert.ok(key(row));
      shown[name + chosen] = columns.map((column) => String(column.text(row)));
    }
  }
  assert.ok(asked.every(([, path, authorization]) => authorization === "Bearer secret" && !path.includes("secret")));
  const overview = await section("overview").read(api);
  assert.deepEqual(overview.map(({ key, value }) => [key, value]), [["users", "1,200"], ["connections", "2"], ["runs", "3"], ["ended", "7"], ["failed", "2"], ["f", "agent_failed of ada, 1 min 1 s ago"], ["storage", "4.0 KB"]]);
  assert.deepEqual(overview.map(section("overview").way.to), ["#users", "#users", "#runs", null, null, "/observer#run/f", null]);
  assert.equal(section("users").way.to({ user: "ada/1", tenant: "acme" }), "#user/ada%2F1/acme");
  assert.deepEqual(shown.user.slice(0, 3), ["r", "a", "failed"]);
  assert.deepEqual(shown.users, ["ada (acme)", "1", "0", "2", ""]);
  assert.deepEqual(shown.accounts.slice(0, 4), ["ada", "invited", "a, b", ""]);
  assert.deepEqual(shown.queues, ["runs", "1", "0", "4"]);
  assert.deepEqual(shown.spendingagent, ["(not known)", "1,200", "0.5 EUR", "2"]);
  assert.deepEqual(shown.spendingmodel.slice(0, 1), ["m"]);
  assert.deepEqual(shown.stops.slice(0, 2), ["Tool t", "op"]);
  assert.deepEqual(shown.settings, ["port", "1", "f"]);
});

test("an account is invited, changed and reset by what a form has, and a server without accounts has none", async () => {
  globalThis.location = { origin: "https://chat.example" };
  const { api, asked } = served({
    "/api/admin/accounts": [201, { name: "ada", path: "/join#secret-link" }], "/api/admin/accounts/a%2Fb": [200, {}], "/api/admin/accounts/a%2Fb/invite": [201, { name: "a/b", path: "/join#again" }],
  });
  const { form, acts: [rights, link, disable], read } = section("accounts");
  const row = { name: "a/b", state: "active", roles: ["x"], groups: ["y", "z"] };
  assert.equal((await form.run(api, { name: "Ada", roles: "operator, ", groups: "" })).link, "https://chat.example/join#secret-link");
  assert.deepEqual(rights.given(row), { roles: "x", groups: "y, z" });
  await rights.run(api, row, { roles: "", groups: "y" });
  assert.match((await link.run(api, row)).link, /#again$/);
  await disable.run(api, row);
  assert.deepEqual([disable.fits(row), disable.fits({ ...row, state: "disabled" })], [true, false]);
  assert.deepEqual(asked.map(([method, , , body]) => [method, JSON.parse(body)]), [
    ["POST", { name: "Ada", roles: ["operator"], groups: [] }], ["PATCH", { roles: [], groups: ["y"] }], ["POST", {}], ["PATCH", { disabled: true }],
  ]);
  assert.deepEqual(await read(served({}).api), []);
});
