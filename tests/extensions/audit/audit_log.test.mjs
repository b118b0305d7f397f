/** The audit log's section of the administration page: what it asks for, and what it shows and saves. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { auditQuery, COLUMNS, linesOf, Reading } from "../../../understudy/page/extensions/audit/admin.js";
import { moment } from "../../../understudy/page/observer/labels.js";

const entry = (number, more = {}) => ({
  number, at: 1_795_400_000.5, user: "op", user_tenant: null, role: "operator", way: "http", action: "user.erased", target: "ada", tenant: null, detail: {}, ...more,
});

const running = new AbortController().signal;

/** An API with these numbers of entries a page, a status for a request that is refused, and the requests that it was sent. */
function log(...pages) {
  const asked = [];
  let last = 100;
  const ask = async (method, path) => {
    asked.push(`${method} ${path}`);
    if (typeof pages[0] === "object") throw Object.assign(new Error("Not now."), pages.shift());
    const entries = Array.from({ length: pages.shift() }, () => entry(last--));
    return { entries, next_cursor: pages.length > 0 ? `after ${last + 1}` : null };
  };
  return { api: { ask }, asked };
}

test("what was chosen becomes parameters, and what was not is left out", () => {
  assert.deepEqual(auditQuery({ user: "", tenant: " ", action: "", since: "", until: "" }), {});
  const until = new Date(2026, 10, 23, 9, 5).getTime() / 1000;
  assert.deepEqual(auditQuery({ user: " ada ", action: "audit.read", since: "", until: "2026-11-23T09:05" }), { user: "ada", action: "audit.read", until: String(until) });
});

test("a page begins a reading, and the older ones belong to it", async () => {
  const { api, asked } = log(2, 1);
  const reading = new Reading(api, { user: "a&b" });
  await reading.older();
  assert.deepEqual([reading.entries.map(({ number }) => number), reading.goesOn], [[100, 99], true]);
  await reading.older();
  assert.deepEqual([reading.entries.map(({ number }) => number), reading.goesOn], [[100, 99, 98], false]);
  assert.deepEqual(asked, ["GET audit?user=a%26b&limit=100", "GET audit?user=a%26b&limit=100&cursor=after+99"]);
});

test("a whole reading comes in pages, and what is shown stays as it was", async () => {
  const { api, asked } = log(1, 1, 1);
  const reading = new Reading(api, {});
  await reading.older();
  const numbers = [];
  for await (const page of reading.pages(running)) numbers.push([page.map(({ number }) => number), asked.length]);
  assert.deepEqual(numbers, [[[100], 1], [[99], 2], [[98], 3]]);
  assert.equal(reading.entries.length, 1);
  assert.deepEqual(asked.slice(1), ["GET audit?limit=500&cursor=after+100", "GET audit?limit=500&cursor=after+99"]);
});

test("of a reading that ended, nothing is read again", async () => {
  const { api, asked } = log(1);
  const reading = new Reading(api, {});
  await reading.older();
  for await (const page of reading.pages(running)) assert.deepEqual(page, [entry(100)]);
  assert.equal(asked.length, 1);
});

/** A clock on which waits pass at once; `stop` is aborted in the one of this number. */
function slept(stop = null, stopAt = Infinity) {
  const clock = { waits: [], ms: 0, now: () => clock.ms };
  clock.wait = async (ms) => {
    clock.ms += ms;
    if (clock.waits.push(ms) === stopAt) stop.abort();
  };
  return clock;
}

/** The numbers of the entries that a reading of these pages yields, and its refusal. */
async function readAll(api, clock, stopped = running) {
  const reading = new Reading(api, {});
  await reading.older();
  const found = { numbers: [], said: [] };
  try {
    for await (const page of reading.pages(stopped, ({ status }) => found.said.push(status), clock)) found.numbers.push(...page.map(({ number }) => number));
  } catch (refusal) {
    found.refused = refusal.status;
  }
  return found;
}

test("a page that is refused for now is asked for again, ever more slowly, and none is missing or twice", async () => {
  const { api, asked } = log(1, { status: 0 }, { status: 503 }, { status: 429 }, 1, { status: 500 }, 1);
  const clock = slept();
  assert.deepEqual(await readAll(api, clock), { numbers: [100, 99, 98], said: [0, 503, 429, 500] });
  assert.equal(asked.length, 7);
  assert.equal(new Set(asked.slice(1, 5)).size, 1);
  assert.ok(clock.waits[2] > clock.waits[0] && clock.waits[3] < clock.waits[2], `${clock.waits}`);
});

test("a page that is refused for two minutes ends the reading", async () => {
  const clock = slept();
  const found = await readAll(log(1, ...Array.from({ length: 1000 }, () => ({ status: 503 }))).api, clock);
  assert.deepEqual([found.numbers, found.refused], [[100], 503]);
  assert.ok(clock.ms > 60_000 && clock.ms <= 120_000, `${clock.ms}`);
});

test("what does not pass is not asked for again", async () => {
  for (const status of [400, 401, 403, undefined]) {
    const { api, asked } = log(1, { status }, 1);
    assert.deepEqual(await readAll(api, slept()), { numbers: [100], said: [], refused: status });
    assert.equal(asked.length, 2);
  }
});

test("a reading that is stopped while it waits asks for nothing more", async () => {
  const stop = new AbortController();
  const { api, asked } = log(1, { status: 0 }, { status: 0 }, 1);
  assert.deepEqual(await readAll(api, slept(stop, 2), stop.signal), { numbers: [100], said: [0, 0] });
  assert.equal(asked.length, 3);
});

test("entries are saved as JSON Lines", () => {
  const lines = linesOf([entry(2), entry(1)]);
  assert.deepEqual(lines.split("\n").map((line) => line && JSON.parse(line)), [entry(2), entry(1), ""]);
});

test("an entry is a line of texts", () => {
  const texts = (row) => COLUMNS.map((column) => column.text(row));
  const time = moment(1_795_400_000.5, { seconds: true });
  assert.match(time, /^2026-11-2\d \d\d:\d\d:\d\d$/);
  assert.deepEqual(texts(entry(1)), [time, "op", "operator", "user.erased", "ada", "", "http", ""]);
  const allowed = { user: "ada", user_tenant: "acme", role: null, target: null, tenant: "acme", way: "socket", action: "tool.allowed", detail: { tool: "<b>mail</b>", always: true, run: "r" } };
  assert.deepEqual(texts(entry(2, allowed)), [time, "ada (acme)", "", "tool.allowed", "", "acme", "socket", "tool: <b>mail</b>, always: yes, run: r"]);
  assert.equal(COLUMNS.at(-1).text(entry(3, { detail: { all: false } })), "all: no");
});
