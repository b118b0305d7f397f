import assert from "node:assert/strict";
import { test } from "node:test";

import {
  countsOf, isNews, markOf, newItems, noted, NOTHING_OPEN, openThreads, questionOf, received, seen, settled, stepOf, tidied, waitingCount,
} from "../../../understudy/page/extensions/notices/inbox.js";
import { noticesFor, storedChoice } from "../../../understudy/page/extensions/notices/notify.js";
import { InboxFeed } from "../../../understudy/page/extensions/notices/feed.js";

const CONSENT = {
  kind: "approval", id: "c1", call_id: "c1", thread_id: "a", run_id: "r1", title: "Mail", agent: "guide", agent_type: "guide", pillar: null,
  last_seq: 5, seq: 4, asked_at: 1, expires_at: 300, tool_name: "send_mail", description: "Send a mail.", parameters: { to: "anna" }, schema: null,
};
const FORM = {
  kind: "question", id: "r2.c1.1", question_id: "r2.c1.1", call_id: "c2", thread_id: "b", run_id: "r2", title: "Meet", agent: "guide", agent_type: "guide",
  pillar: null, last_seq: 7, seq: 6, asked_at: 2, expires_at: 300, question: "Meeting", text: null, schema: {}, choices: null, sign_in: null, tool_name: "meet", parameters: {},
};
const RUN = { run_id: "r3", thread_id: "c", title: "Wait", agent: "guide", agent_type: "guide", pillar: null, last_seq: 3, status: "running", started_at: 1, doing: "" };
const UNREAD = { thread_id: "d", title: "Old", agent: "guide", agent_type: "guide", pillar: null, status: "success", updated_at: 1, answered_seq: 9 };

function body({ needs_you = [], running = [], unread = [], count = unread.length } = {}) {
  return { needs_you, running, unread, counts: { unread: count }, now: 10 };
}

const FULL = received(NOTHING_OPEN, body({ needs_you: [CONSENT, FORM], running: [RUN], unread: [UNREAD] }));

test("the server's list is the state, and what is open as before stays the same object", () => {
  assert.deepEqual(countsOf(FULL), { needs_you: 2, running: 1, unread: 1 });
  assert.equal(waitingCount(FULL), 3);
  assert.deepEqual(["a", "b", "c", "d", "e"].map((id) => markOf(FULL, id)), ["needs_you", "needs_you", "running", "unread", null]);
  assert.deepEqual(openThreads(FULL), { a: 5, b: 7, c: 3 });
  const again = received(FULL, body({ needs_you: [{ ...CONSENT }, { ...FORM, title: "Meet Ben" }] }));
  assert.equal(again.needsYou[0], FULL.needsYou[0]);
  assert.equal(again.needsYou[1].title, "Meet Ben");
  assert.deepEqual(newItems(NOTHING_OPEN, FULL).needsYou.map(({ id }) => id), ["c1", "r2.c1.1"]);
  assert.deepEqual(newItems(FULL, again), { needsYou: [], unread: [] });
});

test("events take effect before the next reading", () => {
  const decided = noted(FULL, { type: "approval_decided", thread_id: "a", run_id: "r1", data: { call_id: "c1", decision: "deny", note: "No." } });
  assert.deepEqual(decided.needsYou.map(({ id }) => id), ["r2.c1.1"]);
  const { approval } = stepOf(decided.settled[0]);
  assert.deepEqual([approval.state, approval.decision, approval.note], ["decided", "deny", "No."]);
  const answered = noted(FULL, { type: "question_answered", thread_id: "b", run_id: "r2", data: { question_id: "r2.c1.1", outcome: "answered", answer: { day: "Monday" } } });
  assert.deepEqual([questionOf(answered.settled[0]).outcome, questionOf(answered.settled[0]).answer], ["answered", { day: "Monday" }]);
  const working = noted(FULL, { type: "tool_executing", thread_id: "c", run_id: "r3", data: { description: "Look" } });
  assert.equal(working.running[0].doing, "Look");
  assert.deepEqual(noted(FULL, { type: "final_response", thread_id: "c", run_id: "r3", data: {} }).running, []);
  const ended = noted(FULL, { type: "error", thread_id: "a", run_id: "r1", data: {} });
  assert.deepEqual([ended.needsYou.length, stepOf(ended.settled[0]).approval.decision], [1, null]);
  assert.equal(noted(FULL, { type: "error", thread_id: "a", data: {} }), FULL); // a refusal, not the end of a run
  assert.equal(tidied(ended).settled.length, 0);
});

test("what another client answered is settled when the list says so, once", () => {
  const later = received(settled(FULL, "c1", { decision: "allow" }), body({}));
  assert.deepEqual(later.settled.map(({ id, outcome }) => [id, outcome]), [["c1", { decision: "allow" }], ["r2.c1.1", {}]]);
  assert.equal(received(later, body({})).settled.length, 2);
  assert.equal(received(later, body({ needs_you: [CONSENT] })).settled.length, 1); // it is asked still
});

test("an answer is unread until it was seen to its end; more may be unread than are listed", () => {
  const many = received(NOTHING_OPEN, body({ unread: [UNREAD], count: 150 }));
  assert.equal(seen(many, { d: 8 }), many);
  assert.equal(seen(many, { d: 9, x: 1 }).unreadCount, 149);
  assert.deepEqual([seen(many, null).unreadCount, seen(many, null).unread], [0, []]);
});

test("only events that change the list have it read again", () => {
  assert.deepEqual(["approval_required", "final_response", "partial_result", "welcome"].map((type) => isNews({ type, thread_id: "a" })), [true, true, false, false]);
  assert.equal(isNews({ type: "error" }), false);
});

/** A feed whose timers are run by hand; `answers` are what the server gives, in order, the last one again. */
function made(answers) {
  const calls = { read: 0, marks: [], watched: [], commands: [] };
  const running = new Map();
  const timers = { set: (name, ms, work) => running.set(name, work), has: (name) => running.has(name), clear: (name) => running.delete(name) };
  const server = {
    "GET /api/inbox": async () => {
      calls.read += 1;
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer instanceof Error) throw answer;
      return answer;
    },
    "POST /api/inbox/read": async ({ all = false, threads }) => { calls.marks.push(all ? null : threads); },
  };
  const ask = (method, path, asked) => server[`${method} ${path}`](asked);
  const command = async (sent) => { calls.commands.push(sent); if (sent.payload.note === "bad") throw Object.assign(new Error("No."), { code: "invalid_command" }); };
  const feed = new InboxFeed({ ask, command, timers, isVisible: () => true, watch: (threads) => calls.watched.push(threads), onChange: () => {} });
  const run = async (name) => {
    const work = running.get(name);
    running.delete(name);
    await work();
    await new Promise((done) => setImmediate(done));
  };
  return { feed, calls, run, running };
}

test("the feed reads once for events that come together, and watches the threads at work", async () => {
  const { feed, calls, run } = made([body({ needs_you: [CONSENT], running: [RUN] })]);
  for (const type of ["approval_required", "message_accepted", "final_response"]) feed.take({ type, thread_id: "a", run_id: "r9", data: {} });
  await run("inbox");
  assert.equal(calls.read, 1);
  assert.deepEqual(calls.watched, [{ a: 5, c: 3 }]);
});

test("a list that is older than an event is read again before it is believed", async () => {
  const { feed, calls, run, running } = made([body({ needs_you: [CONSENT] }), body({ needs_you: [CONSENT] }), body({})]);
  feed.refresh();
  await run("inbox");
  feed.refresh();
  const reading = run("inbox");
  feed.take({ type: "approval_decided", thread_id: "a", run_id: "r1", data: { call_id: "c1", decision: "allow" } });
  await reading;
  assert.deepEqual(feed.state.needsYou, []);
  assert.ok(running.has("inbox"));
  await run("inbox");
  assert.equal(calls.read, 3);
  assert.equal(feed.state.settled[0].outcome.decision, "allow");
});

test("what stands on the screen is marked as read once, to the end of its answer", async () => {
  const { feed, calls, run, running } = made([body({ unread: [UNREAD] })]);
  feed.refresh();
  await run("inbox");
  feed.seen("d", 8);
  assert.equal(running.has("inbox-marks"), false);
  feed.seen("d", 12);
  feed.seen("d", 12);
  assert.equal(feed.state.unreadCount, 0);
  await run("inbox-marks");
  assert.deepEqual(calls.marks, [{ d: 12 }]);
});

test("what another device has read is read here, at once; of all that was read the server says what is left", async () => {
  const { feed, calls, run, running } = made([body({ unread: [UNREAD, { ...UNREAD, thread_id: "e" }] }), body({ unread: [{ ...UNREAD, answered_seq: 12 }] })]);
  feed.refresh();
  await run("inbox");
  feed.take({ type: "answers_read", data: { threads: { d: 8, e: 9, x: 1 } } });
  assert.deepEqual(feed.state.unread.map(({ thread_id: id }) => id), ["d"]);
  assert.equal(running.has("inbox"), false);
  feed.take({ type: "answers_read", data: {} });
  assert.equal(feed.state.unreadCount, 1); // another answer may have come after it
  await run("inbox");
  assert.deepEqual(feed.state.unread.map(({ answered_seq: seq }) => seq), [12]);
  feed.refresh();
  const reading = run("inbox");
  feed.take({ type: "answers_read", data: { threads: { d: 12 } } });
  await reading;
  assert.deepEqual([feed.state.unreadCount, running.has("inbox")], [0, true]); // what was read is older than the mark
  assert.equal(calls.read, 3);
});

test("a decision is sent once and settles its card; a refusal opens it again", async () => {
  const { feed, calls, run } = made([body({ needs_you: [CONSENT] })]);
  feed.refresh();
  await run("inbox");
  await assert.rejects(feed.decide("c1", "allow", "bad"), { message: "No." });
  assert.equal(stepOf(feed.state.needsYou[0]).approval.deciding, null);
  const sent = feed.decide("c1", "allow", "ok", { remember: true });
  assert.equal(stepOf(feed.state.needsYou[0]).approval.deciding, "allow");
  await sent;
  assert.deepEqual(calls.commands.at(-1), { type: "approve", payload: { call_id: "c1", decision: "allow", note: "ok", remember: true } });
  assert.equal(stepOf(feed.state.settled[0]).approval.always, true);
});

test("a server that has no inbox any more is asked again after its next welcome; any other refusal is tried again", async () => {
  const refused = (status) => Object.assign(new Error("No."), { status });
  const { feed, calls, run, running } = made([body({ needs_you: [CONSENT] }), refused(503), refused(404), body({ unread: [UNREAD] })]);
  feed.begin();
  await run("inbox");
  feed.begin();
  await run("inbox");
  assert.deepEqual([waitingCount(feed.state), running.has("inbox-poll")], [1, true]);
  running.clear();
  feed.refresh();
  await run("inbox");
  feed.take({ type: "message_accepted", thread_id: "a", run_id: "r9", data: {} });
  feed.refresh();
  assert.deepEqual([waitingCount(feed.state), running.size, calls.read], [0, 0, 3]);
  feed.begin();
  await run("inbox");
  assert.deepEqual([waitingCount(feed.state), running.has("inbox-poll")], [1, true]);
});

test("one notice for each chat: that it needs the user, or, if wanted, that an answer has ended", () => {
  const fresh = { needsYou: [CONSENT], unread: [UNREAD, { ...UNREAD, thread_id: "a" }, { ...UNREAD, thread_id: "e", status: "failed" }] };
  assert.deepEqual(noticesFor(fresh, { answers: false }), [{ kind: "needs_you", threadId: "a", title: "Mail" }]);
  assert.deepEqual(noticesFor(fresh, { answers: true }).map(({ kind, threadId }) => `${kind} ${threadId}`), ["answered d", "needs_you a", "failed e"]);
});

test("a damaged choice is none", () => {
  assert.deepEqual(storedChoice('{"on":true,"answers":1}'), { on: true, answers: false });
  assert.deepEqual([storedChoice("{"), storedChoice(null)].map(({ on }) => on), [false, false]);
});
