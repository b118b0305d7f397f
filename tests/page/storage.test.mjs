import assert from "node:assert/strict";
import { test } from "node:test";

import { emptyConversation, reduce } from "../../understudy/page/client/threads/conversation.js";
import { HistoryCache } from "../../understudy/page/client/threads/history_cache.js";
import { clearCopies, forgetAtSessionEnd, Session } from "../../understudy/page/client/connection/session.js";
import { toJson } from "../../understudy/page/client/ids.js";
import { safeStorage } from "../../understudy/page/client/safe_storage.js";
import { Outbox } from "../../understudy/page/client/sending/outbox.js";
import { CurrentThreads } from "../../understudy/page/client/threads/known_threads.js";
import { FakeStorage } from "./fakes.mjs";

/** A storage with room for so many characters, as a browser's. */
class SmallStorage extends FakeStorage {
  constructor(units) {
    super();
    this.units = units;
  }

  setItem(key, value) {
    const others = [...this.map].filter(([name]) => name !== key).reduce((sum, [name, text]) => sum + name.length + text.length, 0);
    if (others + key.length + String(value).length > this.units) throw new DOMException("full", "QuotaExceededError");
    super.setItem(key, value);
  }
}

function thread(threadId, turns, size = 100) {
  let state = emptyConversation(threadId);
  for (let n = 1; n <= turns; n += 1) {
    const names = { thread_id: threadId, run_id: `r${n}` };
    state = reduce(state, { ...names, type: "message_accepted", seq: 2 * n - 1, data: { message_id: `m${n}`, run_id: `r${n}`, content: `say ${n}` } });
    state = reduce(state, { ...names, type: "final_response", seq: 2 * n, data: { message: "x".repeat(size), status: "success" } });
  }
  return state;
}

function histories(storage, limits = {}) {
  let time = 0;
  return new HistoryCache(safeStorage(storage), { now: () => (time += 1), ...limits });
}

test("a conversation comes back as it was, without what was only waiting", () => {
  const storage = new FakeStorage();
  const state = reduce(thread("t", 3), { type: "local.said", thread_id: "t", data: { key: "m9", kind: "say", content: "later" } });
  histories(storage).write(state);
  assert.deepEqual(histories(storage).read("t"), JSON.parse(JSON.stringify(thread("t", 3))));
});

test("the text of an answer that failed comes back, as no answer has it", () => {
  const storage = new FakeStorage();
  const names = { thread_id: "t", run_id: "r2" };
  const failed = [
    { ...names, type: "message_accepted", seq: 3, data: { message_id: "m2", run_id: "r2", content: "and?" } },
    { ...names, type: "partial_result", data: { text: "One two", offset: 0 } },
    { ...names, type: "error", seq: 4, data: { code: "agent_timeout", message: "Too late.", retryable: true } },
  ].reduce(reduce, thread("t", 1));
  histories(storage).write(failed);
  assert.equal(histories(storage).read("t").turns[1].stream.text, "One two");
});

test("of a long thread its end is kept, and it says so", () => {
  const storage = new FakeStorage();
  histories(storage, { threadUnits: 20_000 }).write(thread("t", 40, 1000));
  const kept = histories(storage).read("t");
  assert.equal(kept.cut, true);
  assert.equal(kept.turns.at(-1).messageId, "m40");
  assert.ok(kept.turns.length >= 5 && kept.turns.length < 20, `${kept.turns.length} turns`);
});

test("all together are bounded: what was kept longest ago goes", () => {
  const storage = new FakeStorage();
  const few = histories(storage, { maxThreads: 2 });
  for (const id of ["a", "b", "c"]) few.write(thread(id, 1));
  assert.deepEqual(["a", "b", "c"].map((id) => few.read(id) !== null), [false, true, true]);
  const small = histories(storage, { allUnits: 2600 });
  small.write(thread("d", 2, 800));
  assert.deepEqual(["b", "c", "d"].map((id) => small.read(id) !== null), [false, false, true]);
});

test("a full disk gives up history for what cannot be read again", () => {
  const storage = new SmallStorage(6000);
  const kept = safeStorage(storage);
  const past = new HistoryCache(kept, { now: () => 1 });
  past.write(thread("t", 2, 1500));
  assert.ok(past.read("t"));
  kept.setItem("understudy.outbox.m1", "y".repeat(4000));
  assert.equal(storage.getItem("understudy.outbox.m1").length, 4000);
  assert.equal(past.read("t"), null);
  past.write(thread("t", 2, 4000)); // no room: given up, without harm
  assert.equal(past.read("t"), null);
  kept.setItem("big", "z".repeat(9000)); // beyond the disk: kept while the page lives
  assert.equal(kept.getItem("big").length, 9000);
});

test("what another version or nobody has written is not read", () => {
  const storage = new FakeStorage({ "understudy.history.a": "1|{", "understudy.history.b": '1|{"version":0,"state":{"threadId":"b","turns":[]}}' });
  assert.deepEqual(["a", "b", "c"].map((id) => histories(storage).read(id)), [null, null, null]);
});

test("a browser that forbids storage costs only what a reload would show", () => {
  const none = safeStorage(null);
  none.setItem("a", "1");
  assert.deepEqual([none.getItem("a"), none.length, none.keys("a")], ["1", 1, ["a"]]);
  none.removeItem("a");
  assert.equal(none.length, 0);
});

test("each agent has its room, the last one is entered again after a reload", () => {
  const storage = new FakeStorage();
  const rooms = new CurrentThreads(storage);
  rooms.enter("guide", "t1");
  rooms.enter("liaison/insights", "t2");
  const again = new CurrentThreads(storage);
  assert.deepEqual([again.current, again.thread(), again.thread("guide"), again.agentOf("t1"), again.thread("nobody")], ["liaison/insights", "t2", "t1", "guide", null]);
  again.leave("t1");
  assert.equal(new CurrentThreads(storage).thread("guide"), null);
  assert.equal(new CurrentThreads(new FakeStorage({ "understudy.rooms": "{" })).current, null);
  for (let n = 0; n < 80; n += 1) rooms.enter(`agent-${n}`, `t${n}`);
  assert.equal(rooms.threads.size, 64);
});

function tab(storage, clock) {
  const heard = new Set();
  const outbox = new Outbox(storage, { now: () => clock.time, window: { addEventListener: (name, listener) => heard.add(listener) } });
  outbox.changes = [];
  outbox.onChange = (change) => outbox.changes.push([change.entry?.message_id ?? null, change.fresh ?? false, change.gone ?? false]);
  outbox.hear = (key) => heard.forEach((listener) => listener({ key, newValue: storage.getItem(key) }));
  return outbox;
}

const entry = (id) => ({ message_id: id, thread_id: "t", payload: { message_id: id, content: "hi" } });

test("what another tab queues is known here, sent there, and taken over when that tab is gone", () => {
  const [storage, clock] = [new FakeStorage(), { time: 1000 }];
  const [one, two] = [tab(storage, clock), tab(storage, clock)];
  one.add(entry("m1"), clock.time);
  two.hear("understudy.outbox.m1");
  assert.deepEqual([two.size, two.sendable(two.get("m1")), one.sendable(one.get("m1"))], [1, false, true]);
  one.attempted("m1");
  two.hear("understudy.outbox.m1");
  assert.deepEqual(two.changes, [["m1", true, false], ["m1", false, false]]);
  clock.time += 30_000;
  assert.equal(two.sendable(two.get("m1")), true);
  one.remove("m1");
  two.hear("understudy.outbox.m1");
  assert.deepEqual([two.size, two.changes.at(-1)], [0, ["m1", false, true]]);
  two.hear("something.else");
  assert.equal(two.changes.length, 3);
});

test("what one user wrote is not sent as another", () => {
  const storage = new FakeStorage();
  const outbox = new Outbox(storage);
  outbox.add(entry("ada's"), 1, "ada");
  outbox.add(entry("anybody's"), 2);
  outbox.user = "bob";
  assert.deepEqual(outbox.waiting().map((one) => one.message_id), ["anybody's"]);
  const later = new Outbox(storage);
  later.user = "ada";
  assert.equal(later.size, 2);
});

test("clearing what the browser keeps leaves who is signed in, what waits to be sent, and the settings", async () => {
  const storage = new FakeStorage();
  const kept = ["session", "user", "outbox.m1", "theme", "density", "language", "dir"].map((name) => `understudy.${name}`);
  const copies = ["draft.t1", "draft.t2", "history.t1", "files", "agents", "threads"].map((name) => `understudy.${name}`);
  for (const key of [...kept, ...copies, "of.another.page"]) storage.setItem(key, "1");
  const deleted = [];
  await clearCopies(safeStorage(storage), { keys: async () => ["shell"], delete: async (name) => deleted.push(name) });
  assert.deepEqual([...storage.map.keys()].sort(), [...kept, "of.another.page"].sort());
  assert.deepEqual(deleted, ["shell"]);
  await clearCopies(safeStorage(storage), { keys: () => Promise.reject(new Error("not here")) });
});

test("what is still being read when a session ends is not stored again", async () => {
  const disk = new FakeStorage();
  const storage = safeStorage(disk);
  const session = new Session({ fetch: null, storage });
  session.adopt("of ada");
  const caches = { keys: async () => { storage.setItem("understudy.draft.t", "zebra"); return []; } };
  await new Promise((resolve) => {
    forgetAtSessionEnd({ session, storage, window: { caches }, parts: () => [], onEnd: resolve });
    session.end();
  });
  storage.offer("understudy.history.t", "zebra");
  assert.deepEqual([...disk.map.keys()], []);
  session.adopt("of bob");
  storage.setItem("understudy.draft.t", "lion");
  assert.equal(disk.map.get("understudy.draft.t"), "lion");
});

test("what is set aside when a session runs out stays, in each tab, until somebody ends one", async () => {
  const disk = new FakeStorage({ "understudy.draft.t": "zebra", "understudy.theme": "dark" });
  const tabs = [0, 1].map(() => {
    const tab = { session: new Session({ fetch: null, storage: safeStorage(disk) }), ran: 0 };
    const window = { addEventListener: (_name, heard) => { tab.heard = heard; } };
    const onRunOut = () => { tab.ran += 1; disk.setItem("understudy.left", "of ada"); };
    tab.over = new Promise((resolve) => { forgetAtSessionEnd({ session: tab.session, storage: safeStorage(disk), window, parts: () => [], onRunOut, onEnd: resolve }); });
    return tab;
  });
  tabs[0].session.adopt("of ada");
  tabs[0].session.end({ ranOut: true });
  tabs[1].heard({ key: "understudy.session", newValue: null });
  await Promise.all(tabs.map(({ over }) => over));
  assert.deepEqual([tabs.map(({ ran }) => ran), [...disk.map.keys()].sort()], [[1, 1], ["understudy.left", "understudy.theme"]]);
  tabs[0].session.end();
  tabs[1].heard({ key: "understudy.session", newValue: null });
  assert.deepEqual([tabs.map(({ ran }) => ran), [...disk.map.keys()]], [[1, 1], ["understudy.theme"]]);
});

/** A token of the user "ada", and a server that answers with it, whose clock is `server.now()`. */
function issuer(server, lifeS, { claims = true } = {}) {
  const asked = [];
  const fetch = async (path) => {
    asked.push(path);
    const iat = Math.floor(server.now() / 1000);
    const body = claims ? { sub: "ada", iat, exp: iat + lifeS, n: asked.length } : { n: asked.length };
    const token = `x.${btoa(JSON.stringify(body)).replace(/=+$/, "")}.y`;
    const headers = new Headers({ date: new Date(server.now()).toUTCString() });
    return { ok: true, status: 200, headers, json: async () => ({ session_token: token, expires_at: iat + lifeS }) };
  };
  return { asked, fetch };
}

for (const [skew, hours] of [["fast", 1], ["slow", -1], ["right", 0]]) {
  for (const claims of [true, false]) {
    test(`a token's life counts from its receipt where the clock is ${skew}${claims ? "" : ", also of one that says nothing"}`, async () => {
      const server = { now: () => 1_000_000_000 };
      const own = { now: 1_000_000_000 + hours * 3_600_000 };
      const { asked, fetch } = issuer(server, 2700, { claims });
      const session = new Session({ fetch, storage: safeStorage(new FakeStorage()), now: () => own.now });
      await session.token();
      await session.token();
      assert.deepEqual(asked, ["/api/sessions"]);
      assert.equal(session.renewIn(), (2700 - 300) * 1000);
      own.now += session.renewIn();
      await session.renew();
      assert.equal(asked.length, 2);
      assert.equal(session.renewIn(), (2700 - 300) * 1000);
    });
  }
}

test("two renewals are never within half a minute, whatever a token says", async () => {
  const own = { now: 1_000_000_000 };
  const { asked, fetch } = issuer({ now: () => own.now }, 1);
  const storage = safeStorage(new FakeStorage());
  const sessions = [1, 2].map(() => new Session({ fetch, storage, now: () => own.now })); // of two tabs
  for (let second = 0; second < 60; second += 1) {
    for (const session of sessions) assert.ok((await session.token()).startsWith("x."));
    own.now += 1000;
  }
  assert.deepEqual(asked.map((path) => path.split("/").at(-1)), ["sessions", "refresh", "refresh"]);
  own.now -= 3_600_000; // it was set right
  await sessions[0].renew();
  assert.equal(asked.length, 4);
});

test("a token that was handed in is renewed before its end, also where the clock is fast", async () => {
  const own = { now: 1_000_000_000 };
  const { asked, fetch } = issuer({ now: () => own.now }, 3600);
  const old = `x.${btoa(JSON.stringify({ sub: "ada", iat: 1_000_000 - 1800, exp: 1_000_000 + 1800 })).replace(/=+$/, "")}.y`;
  const session = new Session({ fetch, storage: safeStorage(new FakeStorage()), now: () => own.now, token: old });
  assert.equal(session.renewIn(), (1800 - 300) * 1000);
  own.now += 2 * 3_600_000;
  const fast = new Session({ fetch, storage: safeStorage(new FakeStorage()), now: () => own.now, token: old });
  assert.equal(await fast.token(), old);
  assert.deepEqual(asked, []);
});

test("a storage that is full is still read, and what it does not take is kept for the page", () => {
  const full = new SmallStorage(20);
  full.setItem("a", "known");
  full.setItem("other", "x".repeat(9));
  const storage = safeStorage(full);
  storage.setItem("b", "more than it takes");
  assert.deepEqual([storage.getItem("a"), storage.getItem("b")], ["known", "more than it takes"]);
});

test("half a character is none in what is sent", () => {
  assert.equal(toJson({ a: ["cut \ud83d", "\ude00 off", "whole \ud83d\ude00"], b: 1 }), '{"a":["cut \ufffd","\ufffd off","whole \ud83d\ude00"],"b":1}');
});
