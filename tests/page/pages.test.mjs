/** Threads that are opened by their last page: what a page shows, and that nothing is lost or doubled around it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { beside, older, visible } from "../../understudy/page/client/threads/branches.js";
import { Client } from "../../understudy/page/client.js";
import { emptyConversation, reduce } from "../../understudy/page/client/threads/conversation.js";
import { readPage } from "../../understudy/page/client/threads/turn_pages.js";
import { runningTurn } from "../../understudy/page/client/threads/turns.js";
import { FakeClock, FakeStorage, settle, socketClass } from "./fakes.mjs";

const AT = 1_795_154_400;

/** The log of turns 1 to `count`, each of four events: `runs[n]` are the events of one. */
function talk(count, { unfinished = false } = {}) {
  const runs = [];
  for (let n = 1; n <= count; n += 1) {
    const event = (index, type, data) => ({
      type, seq: 4 * (n - 1) + index, thread_id: "t", run_id: `r${n}`, agent_type: "guide", pillar: null, timestamp: new Date((AT + n) * 1000).toISOString(),
      message: "", data: { ...data, timestamp: AT + n },
    });
    runs.push([
      event(1, "message_accepted", { message_id: `m${n}`, run_id: `r${n}`, content: `say ${n}`, parent_id: n > 1 ? `answer-r${n - 1}` : null }),
      event(2, "tool_executing", { agent_id: "a", call_id: `c${n}`, tool_name: "sum", parameters: { n }, description: "" }),
      event(3, "tool_completed", { agent_id: "a", call_id: `c${n}`, tool_name: "sum", result: n, result_summary: `${n}`, status: n % 2 ? "ok" : "failed" }),
      event(4, "final_response", { message: `answer ${n}`, status: "success", usage: { input: 1 } }),
    ]);
  }
  if (unfinished) runs.at(-1).length = 2;
  return runs;
}

/** What the server gives for turns `first` to `last`, as of `seq`. */
function page(runs, first, last, { seq = runs.flat().at(-1).seq, others = [], shorten = false } = {}) {
  const turns = [];
  for (let n = first; n <= last; n += 1) {
    const known = runs[n - 1].filter((event) => event.seq <= seq);
    if (known.length === 0) continue;
    const ended = known.length === 4;
    turns.push({
      message: { id: `m${n}`, content: `say ${n}`, references: [], agent_type: "guide", pillar: null, parent_id: n > 1 ? `answer-r${n - 1}` : null, created_at: AT + n },
      run: { run_id: `r${n}`, status: ended ? "success" : "running", started_at: AT + n, ended_at: ended ? AT + n : null },
      first_seq: known[0].seq, again: false,
      answer: ended ? { id: `answer-r${n}`, content: `answer ${n}`, created_at: AT + n, feedback: n === 2 ? { rating: "up" } : null } : null,
      events: known.map(({ thread_id: _thread, run_id: _run, ...event }) => {
        const { content, message, result, ...data } = event.data;
        if (event.type === "message_accepted") return { ...event, data };
        if (event.type === "final_response") return { ...event, data };
        return shorten && result !== undefined ? { ...event, omitted: true, data } : { ...event, data: { ...data, ...(result !== undefined && { result }) } };
      }),
    });
  }
  return { seq, turns, others, tip: turns.at(-1)?.run.run_id ?? null, older: first > 1 ? `answer-r${first - 1}` : null };
}

const played = (runs) => runs.flat().reduce(reduce, emptyConversation("t"));
const opened = (given, state = emptyConversation("t")) => reduce(state, { type: "local.page", thread_id: "t", data: readPage("t", given) });
const before = (given, answer, state) => reduce(state, { type: "local.older", thread_id: "t", data: { ...readPage("t", given), before: answer } });
const contents = (state) => visible(state).map(({ content }) => content);

test("a page shows what playing the log shows, turn by turn", () => {
  const runs = talk(5);
  const { turns, ratings, seq } = opened(page(runs, 1, 5));
  assert.deepEqual(turns.map(({ omitted: _, ...turn }) => turn), played(runs).turns);
  assert.deepEqual([ratings, seq], [{ "answer-r2": "up" }, 20]);
});

test("a page at any moment, then the events after it, is the whole; a run under way is live", () => {
  const runs = talk(3);
  const whole = played(runs);
  for (let seq = 1; seq <= 12; seq += 1) {
    const start = opened(page(runs, 1, 3, { seq }));
    assert.equal(start.seq, seq);
    assert.equal(runningTurn(start) !== null, seq % 4 !== 0, `at ${seq}`);
    const state = runs.flat().reduce(reduce, start);
    assert.deepEqual(state.turns.map(({ omitted: _, ...turn }) => turn), whole.turns, `at ${seq}`);
    assert.equal(state.seq, 12);
  }
});

test("no turn of a page that has ended is at work", () => {
  const state = opened(page(talk(40), 21, 40));
  assert.equal(runningTurn(state), null);
  assert.deepEqual([...new Set(state.turns.map(({ status }) => status))], ["done"]);
});

test("older pages come before what is there, up to the first; what is known stays as it is", () => {
  const runs = talk(9);
  const first = opened(page(runs, 7, 9));
  assert.deepEqual([contents(first), older(first), first.cut], [["say 7", "say 8", "say 9"], "answer-r6", true]);
  const second = before(page(runs, 3, 7), older(first), first);
  assert.equal(second.turns.at(-3), first.turns[0]);
  assert.deepEqual([older(second), second.seq], ["answer-r2", 36]);
  const third = before(page(runs, 1, 2), older(second), second);
  assert.deepEqual([contents(third).length, older(third), third.cut], [9, null, false]);
  assert.equal(before(page(runs, 1, 2), "answer-r2", third).turns.length, 9);
  const gone = before({ seq: 36, turns: [], others: [], tip: null, older: null }, "answer-r2", second);
  assert.deepEqual([older(gone), contents(gone)[0]], [null, "say 3"]);
});

test("events that came while an older page was under way count, on either side of it", () => {
  const runs = talk(4);
  const undo = (seq, type, data) => ({ type, seq, thread_id: "t", run_id: "r1", timestamp: "", data });
  const now = opened(page(runs, 3, 4));
  runs[0][2].data.undo_until = AT + 600;
  const missed = [undo(17, "undo_started", { call_ids: ["c1"] }), undo(18, "call_undone", { call_id: "c1", status: "ok" })];
  for (const seq of [16, 17, 18]) {
    const given = page(runs, 1, 2, { seq: Math.min(seq, 16) });
    given.seq = seq;
    given.turns[0].events.push(...missed.filter((event) => event.seq <= seq));
    const data = { ...readPage("t", given, missed), before: "answer-r2" };
    const state = reduce(missed.reduce(reduce, now), { type: "local.older", thread_id: "t", data });
    assert.equal(state.turns[0].steps[0].undo.state, "undone", `at ${seq}`);
    assert.equal(state.seq, 18);
  }
});

test("what is cached stays if the page goes on from it, and goes if there is a gap between", () => {
  const runs = talk(30);
  const cached = played(runs.slice(0, 12));
  const joined = opened(page(runs, 11, 30), cached);
  assert.deepEqual([contents(joined).length, older(joined)], [30, null]);
  assert.equal(joined.turns[0], cached.turns[0]);
  const apart = opened(page(runs, 14, 30), cached);
  assert.deepEqual([apart.turns.length, older(apart)], [17, "answer-r13"]);
  const same = opened(page(runs, 11, 30), played(runs));
  assert.equal(same.turns.length, 30);
});

test("a run that was at work in the cache is as the page says", () => {
  const runs = talk(6);
  const cached = runs.flat().slice(0, 6).reduce(reduce, emptyConversation("t"));
  assert.notEqual(runningTurn(cached), null);
  for (const first of [1, 2, 3]) assert.equal(runningTurn(opened(page(runs, first, 6), cached)), null);
});

test("a message that waits stays after the page, one that was accepted is not there twice", () => {
  const runs = talk(3);
  const said = (key) => ({ type: "local.said", thread_id: "t", data: { key, content: key, at: 5 } });
  const state = opened(page(runs, 1, 3), [said("m3"), said("m9")].reduce(reduce, emptyConversation("t")));
  assert.deepEqual(state.turns.map(({ messageId }) => messageId), ["m1", "m2", "m3", "m9"]);
  assert.deepEqual(contents(state).at(-1), "m9");
});

test("turns beside the branch are known by name, and take the place of their name when they are read", () => {
  const runs = talk(3);
  const others = [{ message_id: "mX", parent_id: "answer-r1", run_id: "rX", status: "success", first_seq: 20, again: false }];
  const given = page(runs, 1, 3);
  const state = opened({ ...given, others: others.map((one) => ({ ...one, first_seq: 6 })) });
  const { messages, message } = beside(state, visible(state)[1]);
  assert.deepEqual([messages.map(({ messageId, stub }) => [messageId, stub ?? false]), message], [[["m2", false], ["mX", true]], 0]);
  const branch = page(runs, 1, 1);
  const [turn] = page(runs, 2, 2).turns;
  branch.turns.push({ ...turn, message: { ...turn.message, id: "mX", content: "say X" }, run: { ...turn.run, run_id: "rX" }, first_seq: 6, answer: { ...turn.answer, id: "answer-rX" },
    events: turn.events.map((event) => ({ ...event, data: { ...event.data, ...(event.data.message_id && { message_id: "mX", run_id: "rX" }) } })) });
  const shown = reduce(state, { type: "local.older", thread_id: "t", data: readPage("t", { ...branch, tip: "rX" }) });
  assert.deepEqual([contents(shown), shown.turns.filter(({ stub }) => stub).length, shown.leaf], [["say 1", "say X"], 0, "mX"]);
  const back = reduce(shown, { type: "local.picked", thread_id: "t", data: { key: "m2" } });
  assert.deepEqual([contents(back), back.leaf], [["say 1", "say 2", "say 3"], null]);
});

test("turns of which the log tells nothing show message and answer, and how they ended", () => {
  const given = page(talk(3), 1, 3);
  for (const turn of given.turns) Object.assign(turn, { events: [], first_seq: null });
  Object.assign(given.turns[1], { answer: null, run: { ...given.turns[1].run, status: "failed" } });
  const { turns } = opened(given);
  assert.deepEqual(turns.map(({ status, final }) => [status, final?.message ?? null]), [["done", "answer 1"], ["failed", null], ["done", "answer 3"]]);
  assert.equal(turns[1].error.code, "internal");
});

// The client

function server(clock, answers) {
  const asked = [];
  const fetch = async (address) => {
    const { pathname, searchParams } = new URL(address, "http://x");
    const reply = (status, body) => ({ ok: status < 400, status, json: async () => body, headers: new Map() });
    if (pathname === "/api/sessions") return reply(200, { session_token: "x", user: "u", session: "s", expires_at: clock.now() / 1000 + 3600 });
    asked.push(`${pathname.split("/").at(-1)}${searchParams.size > 0 ? `?${searchParams}` : ""}`);
    const answer = answers.shift();
    const given = typeof answer === "function" ? await answer() : answer;
    if (given === undefined) return new Promise(() => {});
    if (given === "down") throw new TypeError("no network");
    return reply(...given);
  };
  return { fetch, asked };
}

async function setUp({ answers = [], storage = new FakeStorage(), isOnline, readsAbove, clock = new FakeClock() } = {}) {
  const { fetch, asked } = server(clock, answers);
  const Socket = socketClass();
  const client = new Client({
    url: "ws://x/api/ws/agent", storage, fetch, WebSocket: Socket, now: clock.now, random: () => 0.5, timers: clock.timers, isOnline, window: null, paged: true, readsAbove,
  });
  const seen = [];
  const notices = [];
  client.on("events", (events) => seen.push(...events));
  client.on("notice", (notice) => notices.push(notice.code));
  client.start();
  await settle();
  return { client, clock, storage, Socket, asked, seen, notices };
}

const resumed = (Socket) => Socket.last.commands("resume").map(({ threads }) => threads);

/** An answer that comes when `give` is called. */
function later() {
  let give;
  const answer = new Promise((resolve) => { give = resolve; });
  return [() => answer, give];
}

test("a thread is read once, then followed from there; what comes in between is taken from the resume", async () => {
  const runs = talk(6);
  for (const order of ["page first", "socket first", "events in between"]) {
    const [answer, give] = later();
    const { client, Socket, asked } = await setUp({ answers: [answer] });
    client.open("t");
    await settle();
    const given = [200, page(runs, 2, 6, { seq: 22 })];
    if (order === "page first") give(given);
    await settle();
    Socket.last.open();
    if (order === "events in between") Socket.last.say(...runs.flat().slice(22));
    assert.deepEqual(resumed(Socket), order === "page first" ? [{ t: 22 }] : [], order);
    if (order !== "page first") give(given);
    await settle();
    assert.deepEqual([resumed(Socket), asked], [[{ t: 22 }], ["turns"]], order);
    assert.equal(runningTurn(client.state("t")).content, "say 6");
    Socket.last.say(...runs.flat().slice(22));
    assert.deepEqual([client.state("t").seq, runningTurn(client.state("t")), contents(client.state("t")).length], [24, null, 5], order);
    assert.equal(client.state("t").turns.at(-1).steps.length, 1);
  }
});

test("a connection that is lost and made again resumes where the page and its events ended", async () => {
  const runs = talk(3);
  const { client, Socket, clock } = await setUp({ answers: [[200, page(runs, 1, 3, { seq: 10 })]] });
  Socket.last.open();
  client.open("t");
  await settle();
  Socket.last.say(runs[2][2]);
  Socket.last.die();
  await clock.advance(1000);
  Socket.last.open();
  assert.deepEqual(resumed(Socket), [{ t: 11 }]);
});

/** A client that knows the first `known` of these turns, and whose connection is gone for this long. */
async function away(runs, known, ms, { answers, ...more }) {
  const made = await setUp({ answers: [[200, page(runs, 1, known, { seq: 4 * known })], ...answers], ...more });
  made.Socket.last.open();
  made.client.open("t");
  await settle();
  made.Socket.last.die();
  await made.clock.advance(1_000);
  made.clock.time += ms; // no timer runs in a computer that sleeps
  made.asked.length = 0;
  made.seen.length = 0;
  return made;
}

test("what a thread missed in a long time is read, and not played; a short gap is played", async () => {
  const runs = talk(40);
  for (const [ms, wanted] of [[50_000, { asked: [], resumed: [{ t: 8 }] }], [61_000, { asked: ["turns"], resumed: [{ t: 160 }] }]]) {
    const { client, Socket, asked, seen } = await away(runs, 2, ms, { answers: [[200, page(runs, 21, 40)]] });
    Socket.last.open();
    Socket.last.say(...runs.flat().slice(158)); // another one's events, before the page is here
    await settle();
    assert.deepEqual([asked, resumed(Socket).slice(0, 1)], [wanted.asked, wanted.resumed], `after ${ms}`);
    if (ms < 60_000) continue;
    assert.deepEqual([contents(client.state("t"))[0], older(client.state("t")), runningTurn(client.state("t"))], ["say 21", "answer-r20", null]);
    assert.deepEqual(seen.filter(({ seq }) => seq), [], "events of the gap were played");
    const [more] = talk(41).slice(-1);
    Socket.last.say(...more);
    assert.deepEqual([contents(client.state("t")).length, client.state("t").seq], [21, 164]);
  }
});

test("what is read before the end stays: the gap is read up to it; what waits, streams or was picked stays, too", async () => {
  const runs = talk(90);
  const answers = [[200, page(runs, 71, 90)], [200, page(runs, 21, 70)], [200, page(runs, 1, 20)]];
  const { client, Socket, asked } = await away(runs, 5, 90_000, { answers, readsAbove: () => true });
  const [first] = client.state("t").turns;
  client.say({ content: "not sent yet", thread_id: "t", message_id: "m-new", agent_type: "guide" });
  Socket.last.open();
  await settle();
  assert.deepEqual(asked, ["turns", "turns?before=answer-r70&limit=50", "turns?before=answer-r20&limit=50"]);
  const state = client.state("t");
  assert.deepEqual(contents(state), [...runs.map((_, index) => `say ${index + 1}`), "not sent yet"]);
  assert.deepEqual([state.turns[0].key, state.seq, older(state), resumed(Socket)], [first.key, 360, null, [{ t: 360 }]]);
});

test("an answer that was being written before a long gap and still is keeps its text", async () => {
  const runs = talk(3, { unfinished: true });
  const { client, Socket, clock } = await setUp({ answers: [[200, page(runs, 1, 3, { seq: 9 })], [200, page(runs, 1, 3, { seq: 10 })]] });
  Socket.last.open();
  client.open("t");
  await settle();
  Socket.last.say({ type: "partial_result", thread_id: "t", run_id: "r3", data: { text: "so far", offset: 0 } });
  Socket.last.die();
  await clock.advance(1_000);
  clock.time += 100_000;
  Socket.last.open();
  await settle();
  const turn = runningTurn(client.state("t"));
  assert.deepEqual([turn.stream.text, turn.steps.length, client.state("t").seq], ["so far", 1, 10]);
});

test("events after a page are left out of the pages before it: they come by the resume", () => {
  const runs = talk(3);
  const [turn] = readPage("t", page(runs, 3, 3), [], { until: 10 }).turns;
  assert.deepEqual([turn.status, turn.steps.length, turn.final], ["running", 1, null]);
});

test("the branch that was picked stays shown, and a turn that was read does not become a name again", () => {
  const runs = talk(3);
  const other = { message_id: "mX", parent_id: "answer-r1", run_id: "rX", status: "success", first_seq: 6, again: false };
  const [turn] = page(runs, 2, 2).turns;
  const branch = page(runs, 1, 1);
  branch.turns.push({ ...turn, message: { ...turn.message, id: "mX", content: "say X" }, run: { ...turn.run, run_id: "rX" }, first_seq: 6, answer: null, events: [] });
  const now = opened(page(runs, 1, 3, { others: [other], seq: 11 }));
  const shown = reduce(now, { type: "local.older", thread_id: "t", data: readPage("t", { ...branch, tip: "rX" }) });
  const state = opened(page(runs, 1, 3, { others: [other] }), shown);
  assert.deepEqual([contents(state), state.leaf, state.seq], [["say 1", "say X"], "mX", 12]);
});

test("without a page in time, or with a refusal, the log is played as far as it is not known", async () => {
  const runs = talk(2);
  for (const answers of [[], [[503, {}]], ["down"], [[200, { nonsense: true }]]]) {
    const { client, Socket, clock } = await setUp({ answers });
    Socket.last.open();
    client.open("t");
    await clock.advance(5_000);
    assert.deepEqual(resumed(Socket), [{ t: 0 }]);
    Socket.last.say(...runs.flat());
    assert.equal(contents(client.state("t")).length, 2);
  }
});

test("without a network the cached end is shown; the page is read once there is a connection", async () => {
  const runs = talk(30);
  const storage = new FakeStorage();
  const first = await setUp({ storage, answers: [[200, page(runs, 8, 12, { seq: 48 })]] });
  first.Socket.last.open();
  first.client.open("t");
  await settle();
  first.client.stop();
  let online = false;
  const { client, Socket, asked, clock } = await setUp({ storage, answers: ["down", [200, page(runs, 11, 30)]], isOnline: () => online });
  const cached = client.open("t");
  await clock.advance(6_000);
  assert.deepEqual([contents(cached).length, older(cached), client.state("t") === cached], [5, "answer-r7", true]);
  online = true;
  client.probe();
  await settle();
  Socket.last.open();
  await settle();
  assert.deepEqual([asked, resumed(Socket), contents(client.state("t")).length], [["turns", "turns"], [{ t: 120 }], 23]);
});

test("a thread that is not this user's is said to be missing, and is not asked for again", async () => {
  const { client, Socket, notices } = await setUp({ answers: [[404, { error: { code: "not_found", message: "No." } }]] });
  Socket.last.open();
  client.open("t");
  await settle();
  assert.deepEqual([notices, resumed(Socket)], [["not_found"], []]);
});

test("older pages are read one at a time, up to the beginning; a failure is told and may be tried again", async () => {
  const runs = talk(9);
  const [slow, give] = later();
  const { client, Socket, asked } = await setUp({ answers: [[200, page(runs, 7, 9)], [503, { error: { code: "storage_unavailable", message: "Away." } }], slow] });
  Socket.last.open();
  client.open("t");
  await settle();
  await assert.rejects(client.older("t"), { code: "storage_unavailable" });
  const [one, two] = [client.older("t"), client.older("t")];
  assert.equal(await two, false);
  give([200, page(runs, 1, 6)]);
  assert.equal(await one, true);
  assert.equal(await client.older("t"), false);
  assert.deepEqual(asked, ["turns", "turns?before=answer-r6&limit=50", "turns?before=answer-r6&limit=50"]);
  assert.equal(contents(client.state("t")).length, 9);
});

test("a branch that is known by name is read when it is picked, and what was left out of steps when they are opened", async () => {
  const runs = talk(2);
  const others = [{ message_id: "m2", parent_id: "answer-r1", run_id: "r0", status: "success", first_seq: 4, again: true }];
  const branch = page(runs, 1, 1);
  const { client, Socket, asked } = await setUp({ answers: [[200, page(runs, 1, 2, { others, shorten: true })], [200, { ...branch, tip: "r1" }], [200, { events: runs[1], more: false }]] });
  Socket.last.open();
  client.open("t");
  await settle();
  const known = client.state("t").turns.find(({ stub }) => stub);
  client.pick("t", known.key);
  await settle();
  const turn = client.state("t").turns.find(({ runId }) => runId === "r2");
  assert.deepEqual([turn.omitted, turn.steps[0].omitted, turn.steps[0].result], [true, true, undefined]);
  await client.details("t", "r2");
  const whole = client.state("t").turns.find(({ runId }) => runId === "r2");
  assert.deepEqual([whole.omitted, whole.steps, whole.final], [false, played(runs).turns[1].steps, turn.final]);
  await client.details("t", "r2");
  assert.deepEqual(asked, ["turns", "turns?through=r0", "events?after=0&limit=1000"]);
});

test("thousands of old turns hold one object for all steps that look the same, until they are opened", async () => {
  const runs = talk(40);
  const { client, Socket } = await setUp({ answers: [[200, page(runs, 39, 40)], [200, page(runs, 1, 38, { shorten: true })], [200, { events: runs[2], more: false }]] });
  Socket.last.open();
  client.open("t");
  await settle();
  await client.older("t");
  const { turns } = client.state("t");
  assert.equal(new Set(turns.slice(0, 38).flatMap(({ steps }) => steps)).size, 2); // one that went well, one that failed
  assert.deepEqual(turns.slice(1, 3).map(({ steps }) => steps.map(({ tool, status }) => [tool, status])), [[["sum", "failed"]], [["sum", "ok"]]]);
  await client.details("t", "r3");
  assert.deepEqual(client.state("t").turns[2].steps, played(runs).turns[2].steps);
});

test("a log that goes on elsewhere is replaced by its last page", async () => {
  const runs = talk(4);
  const { client, Socket } = await setUp({ answers: [[200, page(runs, 1, 4)], [200, page(runs, 1, 2, { seq: 8 })]] });
  Socket.last.open();
  client.open("t");
  await settle();
  Socket.last.say({ type: "resync", thread_id: "t", data: { last_seq: 8 } });
  await settle();
  assert.deepEqual([contents(client.state("t")), client.state("t").seq, resumed(Socket).at(-1)], [["say 1", "say 2"], 8, { t: 8 }]);
});

test("a message said while the page is under way is accepted once", async () => {
  const runs = talk(2);
  const [answer, give] = later();
  const { client, Socket } = await setUp({ answers: [answer] });
  Socket.last.open();
  client.open("t");
  await settle();
  client.say({ content: "say 2", thread_id: "t", message_id: "m2", agent_type: "guide" });
  Socket.last.say(runs[1][0]);
  assert.equal(client.current.waiting, 0);
  give([200, page(runs, 1, 1, { seq: 4 })]);
  await settle();
  assert.deepEqual(resumed(Socket), [{ t: 4 }]);
  Socket.last.say(...runs[1]);
  assert.deepEqual(client.state("t").turns.map(({ messageId, status }) => [messageId, status]), [["m1", "done"], ["m2", "done"]]);
});

test("a thread that is left keeps its end only", async () => {
  const runs = talk(150);
  const { client, Socket } = await setUp({ answers: [[200, page(runs, 1, 150)], [200, page(runs, 1, 1)]] });
  Socket.last.open();
  client.open("t");
  await settle();
  assert.equal(client.state("t").turns.length, 150);
  client.open("other");
  assert.deepEqual([client.state("t").turns.length, older(client.state("t"))], [100, "answer-r50"]);
});

test("a turn whose cut answer was gone on with comes as it was when it was live", () => {
  const runs = talk(1);
  runs[0][3] = { ...runs[0][3], type: "error", data: { code: "agent_timeout", message: "Too late.", retryable: true } };
  const event = (seq, type, data) => ({ ...runs[0][0], seq, type, run_id: "r9", data: { ...data, timestamp: AT } });
  const own = [
    event(5, "message_accepted", { message_id: "m1", run_id: "r9", content: "say 1", parent_id: null, branch_of: "m1", continues: "r1" }),
    event(6, "final_response", { message: "whole", status: "success", usage: { input: 1 } }),
  ];
  const given = page(runs, 1, 1, { seq: 6 });
  given.turns[0] = {
    ...given.turns[0], run: { run_id: "r9", status: "success", started_at: AT, ended_at: AT }, events: own,
    answer: { id: "answer-r9", content: "whole", created_at: AT }, earlier: [{ run_id: "r1", events: runs[0] }],
  };
  const [turn] = opened(given).turns;
  const [live] = [...runs[0], ...own].reduce(reduce, emptyConversation("t")).turns;
  for (const name of ["key", "runId", "earlier", "status", "again"]) assert.deepEqual(turn[name], live[name], name);
  assert.deepEqual(turn.steps.map(({ kind }) => kind), ["tool", "continued"]);
  assert.equal(turn.final.message, "whole");
});

test("an answer that failed has the text that it had", () => {
  const runs = talk(1);
  runs[0][3] = { ...runs[0][3], type: "error", data: { code: "agent_timeout", message: "Too late.", retryable: true } };
  const given = page(runs, 1, 1);
  given.turns[0] = { ...given.turns[0], run: { ...given.turns[0].run, status: "failed" }, answer: { id: "answer-r1", content: "One *two*", status: "failed", created_at: AT } };
  const [turn] = opened(given).turns;
  assert.deepEqual([turn.status, turn.final, turn.error.code, turn.stream.text], ["failed", null, "agent_timeout", "One *two*"]);
});
