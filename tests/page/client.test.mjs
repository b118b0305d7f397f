import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../../understudy/page/client.js";
import { afterClose, backoff, subprotocols } from "../../understudy/page/client/connection/close_codes.js";
import { Outbox } from "../../understudy/page/client/sending/outbox.js";
import { FakeClock, FakeStorage, sessionServer, settle, socketClass } from "./fakes.mjs";

async function setUp({ storage = new FakeStorage(), plan = [], isOnline, clock = new FakeClock(), start = true, token = null, window = null } = {}) {
  const server = sessionServer(clock, plan);
  const Socket = socketClass();
  const client = new Client({
    url: "ws://x/api/ws/agent", storage, fetch: server.fetch, WebSocket: Socket, now: clock.now, random: () => 0.5,
    timers: clock.timers, isOnline, token, window,
  });
  const seen = [];
  const states = [];
  const notices = [];
  client.on("events", (events) => seen.push(...events));
  client.on("state", (state) => states.push(state.phase));
  client.on("notice", (notice) => notices.push(notice));
  if (start) client.start();
  await settle();
  return { client, clock, storage, server, Socket, seen, states, notices };
}

const durable = (seq, type = "agent_thinking", data = {}) => ({ type, seq, thread_id: "t", run_id: "r", data });
const acceptance = (seq, id) => ({ type: "message_accepted", seq, thread_id: "t", run_id: "r", data: { message_id: id, run_id: "r", content: "hi" } });
const message = (id = "m1") => ({ content: "hi", thread_id: "t", message_id: id, agent_type: "guide", pillar: null, references: [] });

test("connecting makes a session, offers the dialect and the token, and says hello", async () => {
  const { Socket, server, states } = await setUp();
  assert.deepEqual(server.calls, [["/api/sessions", null]]);
  assert.deepEqual(Socket.last.protocols, ["understudy.v1", `jwt.${btoa("token-1").replace(/=+$/, "")}`]);
  Socket.last.open();
  assert.deepEqual(Socket.last.commands("hello"), [{ batch: true, chunk: true, gzip: true }]);
  assert.deepEqual(states, ["connecting", "online"]);
});

test("a stored token is used again, a nearly dead one is renewed and keeps its user", async () => {
  const first = await setUp();
  const second = await setUp({ storage: first.storage, clock: first.clock });
  assert.deepEqual(second.server.calls, []);
  second.client.stop();
  first.client.stop();
  await first.clock.advance(3600_000);
  const third = await setUp({ storage: first.storage, clock: first.clock });
  assert.equal(third.server.calls[0][0], "/api/sessions/refresh");
});

test("only when renewal is refused a new session is made", async () => {
  const first = await setUp();
  first.client.stop();
  await first.clock.advance(3600_000);
  const { server } = await setUp({ storage: first.storage, clock: first.clock, plan: [[401, { error: { code: "token_expired" } }]] });
  assert.deepEqual(server.calls.map(([path]) => path), ["/api/sessions/refresh", "/api/sessions"]);
});

test("every event of a thread arrives once, in order, whatever is repeated or lost", async () => {
  const { client, Socket, seen } = await setUp();
  Socket.last.open();
  client.subscriptions.follow("t", 0);
  Socket.last.say(durable(1), durable(2));
  Socket.last.say(durable(2));
  Socket.last.say(durable(5));
  Socket.last.say(durable(6));
  assert.deepEqual(Socket.last.commands("resume").map((one) => one.threads), [{ t: 0 }, { t: 2 }]);
  Socket.last.say(durable(3), durable(4), durable(5), durable(6), durable(7));
  assert.deepEqual(seen.map((event) => event.seq), [1, 2, 3, 4, 5, 6, 7]);
});

test("a reconnect backs off, resumes from the last seq and starts counting anew after a welcome", async () => {
  const { client, Socket, clock, states } = await setUp();
  Socket.last.open();
  client.subscriptions.follow("t", 0);
  Socket.last.say(durable(1), durable(2));
  Socket.last.die(1006);
  assert.equal(client.current.phase, "offline");
  assert.equal(client.current.retryAt, clock.now() + 225);
  await clock.advance(225);
  Socket.last.die(1006);
  assert.equal(client.current.retryAt, clock.now() + 450);
  await clock.advance(450);
  Socket.last.open();
  assert.deepEqual(Socket.last.commands("resume"), [{ threads: { t: 2 } }]);
  Socket.last.die(1006);
  assert.equal(client.current.retryAt, clock.now() + 225);
  assert.equal(states.at(-1), "offline");
});

test("a message said while offline waits, is stored, survives a reload and is sent once", async () => {
  const before = await setUp({ isOnline: () => false });
  before.client.say(message());
  assert.deepEqual(before.seen.map((event) => event.type), ["local.said"]);
  assert.equal(before.client.current.waiting, 1);

  const { client, Socket, seen } = await setUp({ storage: before.storage });
  assert.equal(client.current.waiting, 1);
  Socket.last.open();
  assert.deepEqual(Socket.last.commands("user_message"), [message()]);
  client.subscriptions.follow("t", 0);
  Socket.last.say(acceptance(1, "m1"));
  assert.equal(client.current.waiting, 0);
  assert.equal(new Outbox(before.storage).size, 0);
  assert.deepEqual(seen.map((event) => event.type), ["local.sent", "message_accepted"]);
});

test("a message that may have arrived is sent again under its own id and its thread is resumed", async () => {
  const { client, Socket, clock, seen } = await setUp();
  Socket.last.open();
  client.say(message());
  Socket.last.die();
  assert.deepEqual(seen.map((event) => event.type), ["local.said", "local.sent", "local.waiting"]);
  await clock.advance(1000);
  Socket.last.open();
  assert.deepEqual(Socket.last.commands("user_message"), [message()]);
  assert.deepEqual(Socket.last.commands("resume"), []);
  Socket.last.say(acceptance(1, "m1"));
  assert.deepEqual(Socket.last.commands("resume"), [{ threads: { t: 1 } }]);
});

test("messages leave in the order they were said, also within one millisecond", async () => {
  const { client, Socket } = await setUp();
  for (const id of ["b", "a", "c"]) client.say(message(id));
  Socket.last.open();
  const sent = () => Socket.last.commands("user_message").map((one) => one.message_id);
  assert.deepEqual(sent(), ["b"]);
  for (const [seq, id] of [[1, "b"], [2, "a"], [3, "c"]]) {
    Socket.last.say(acceptance(seq, id));
    await settle();
  }
  assert.deepEqual(sent(), ["b", "a", "c"]);
  assert.equal(client.current.waiting, 0);
});

test("a message that is held back holds its own thread, not the others", async () => {
  const { client, Socket } = await setUp();
  Socket.last.open();
  client.say(message("m1"));
  client.say(message("m2"));
  client.say({ ...message("other"), thread_id: "t2" });
  assert.equal(Socket.last.commands("user_message").length, 1);
  Socket.last.say({ type: "error", message_id: "m1", data: { code: "busy", message: "Wait.", retryable: true, retry_after: 5, error_id: "e" } });
  await settle();
  assert.deepEqual(Socket.last.commands("user_message").map((one) => one.message_id), ["m1", "other"]);
});

test("a message that nobody answers is sent again under its own id", async () => {
  const { client, Socket, clock } = await setUp();
  Socket.last.open();
  client.say(message("m1"));
  await clock.advance(20_000);
  assert.deepEqual(Socket.last.commands("user_message").map((one) => one.message_id), ["m1", "m1"]);
});

const refusal = (code, names = {}) => ({ type: "error", ...names, data: { code, message: "No.", retryable: false, error_id: "e" } });

test("a refusal is about the message it names, in flight or not, followed or not", async () => {
  const { client, Socket, seen, notices } = await setUp();
  Socket.last.open();
  client.say(message("m1"));
  client.say({ ...message("m2"), thread_id: "t2" });
  Socket.last.say(refusal("not_found", { message_id: "m2", thread_id: "t2" }));
  assert.deepEqual([seen.at(-1).type, seen.at(-1).thread_id, seen.at(-1).data.key], ["local.rejected", "t2", "m2"]);
  assert.equal(client.current.waiting, 1);
  Socket.last.say(refusal("not_found", { message_id: "m1", thread_id: "t" }));
  assert.deepEqual([seen.at(-1).type, seen.at(-1).data.key], ["local.rejected", "m1"]);
  assert.deepEqual([client.current.waiting, notices], [0, []]);
});

test("a refusal that names no message is about the one in flight only where the server could not read it", async () => {
  const { client, Socket, seen, notices } = await setUp();
  Socket.last.open();
  client.say(message("m1"));
  for (const code of ["not_found", "rate_limited", "busy"]) Socket.last.say(refusal(code));
  Socket.last.say(refusal("not_found", { message_id: "another's", thread_id: "t" }));
  assert.equal(client.current.waiting, 1);
  assert.deepEqual(notices.map((notice) => notice.code), ["not_found", "rate_limited", "busy", "not_found"]);
  Socket.last.say(refusal("message_too_large"));
  assert.deepEqual([seen.at(-1).type, client.current.waiting], ["local.rejected", 0]);
});

test("a message refused for now is sent again when the server says, one refused for good is not", async () => {
  const { client, Socket, clock, seen } = await setUp();
  Socket.last.open();
  client.say(message());
  Socket.last.say({ type: "error", message_id: "m1", data: { code: "rate_limited", message: "Wait.", retryable: true, retry_after: 2, error_id: "e" } });
  await clock.advance(1999);
  assert.equal(Socket.last.commands("user_message").length, 1);
  await clock.advance(1);
  assert.equal(Socket.last.commands("user_message").length, 2);
  Socket.last.say({ type: "error", message_id: "m1", data: { code: "empty_message", message: "Empty.", retryable: false, error_id: "e" } });
  assert.equal(seen.at(-1).type, "local.rejected");
  assert.equal(client.current.waiting, 0);
});

test("an error that is about no message becomes a notice and costs nothing", async () => {
  const { client, Socket, notices } = await setUp();
  Socket.last.open();
  Socket.last.say({ type: "error", data: { code: "internal", message: "Oops.", retryable: false, error_id: "e9" } });
  assert.deepEqual(notices, [{ code: "internal", message: "Oops.", error_id: "e9", thread_id: null }]);
  assert.equal(client.current.waiting, 0);
});

test("stop works before acceptance, before sending, and during the run", async () => {
  const { client, Socket, seen } = await setUp();
  client.say(message("m0"));
  client.cancel({ messageId: "m0" });
  assert.equal(seen.at(-1).type, "local.withdrawn");
  Socket.last.open();
  client.say(message("m1"));
  client.cancel({ messageId: "m1" });
  assert.deepEqual(Socket.last.commands("cancel"), []);
  Socket.last.say(acceptance(1, "m1"));
  assert.deepEqual(Socket.last.commands("cancel"), [{ run_id: "r" }]);
  client.cancel({ runId: "r7" });
  assert.deepEqual(Socket.last.commands("cancel").at(-1), { run_id: "r7" });
});

test("the token is renewed before it ends, on the same socket", async () => {
  const { Socket, clock, server } = await setUp();
  Socket.last.open();
  const answering = Socket.last;
  answering.send = (text) => {
    const command = JSON.parse(text);
    answering.sent.push(command);
    if (command.type === "ping") answering.say({ type: "pong", data: {} });
  };
  await clock.advance(55 * 60_000);
  assert.equal(server.calls.at(-1)[0], "/api/sessions/refresh");
  assert.deepEqual(answering.commands("refresh"), [{ session_token: "token-2" }]);
  assert.equal(Socket.made.length, 1);
});

test("token_expired is answered with a refresh, close 4401 with a renewed token", async () => {
  const { Socket, clock, server } = await setUp();
  Socket.last.open();
  Socket.last.say({ type: "error", data: { code: "token_expired", message: "Renew.", retryable: false, error_id: "e" } });
  await settle();
  assert.deepEqual(Socket.last.commands("refresh"), [{ session_token: "token-2" }]);
  await clock.advance(30_000); // sooner none is renewed again
  Socket.last.die(4401);
  await clock.advance(500);
  assert.equal(server.calls.length, 3);
  assert.equal(Socket.made.length, 2);
});

test("a silent line is asked for a sign of life and given up without one", async () => {
  const { client, Socket, clock } = await setUp();
  Socket.last.open();
  await clock.advance(25_000);
  assert.equal(Socket.last.commands("ping").length, 1);
  Socket.last.say({ type: "pong", data: {} });
  await clock.advance(25_000);
  assert.equal(client.current.phase, "online");
  await clock.advance(6_000);
  assert.equal(client.current.phase, "offline");
  assert.equal(Socket.last.closedByUs, true);
});

test("a handshake that hangs is given up", async () => {
  const { client, clock, Socket } = await setUp();
  await clock.advance(10_000);
  assert.equal(client.current.phase, "offline");
  await clock.advance(1_000);
  assert.equal(Socket.made.length, 2);
});

test("a drain says when to come back, a refusal that coming back is useless", async () => {
  const { client, Socket, clock } = await setUp();
  Socket.last.open();
  Socket.last.say({ type: "drain", data: { reconnect_after_s: 4 } });
  Socket.last.die(1001);
  assert.equal(client.current.retryAt, clock.now() + 4000);
  await clock.advance(4000);
  Socket.last.open();
  Socket.last.die(4403);
  assert.equal(client.current.phase, "refused");
  await clock.advance(600_000);
  assert.equal(Socket.made.length, 2);
});

test("without network nothing is tried until it is back", async () => {
  let online = false;
  const { client, Socket, server } = await setUp({ isOnline: () => online });
  assert.equal(client.current.phase, "offline");
  assert.equal(server.calls.length, 0);
  online = true;
  client.probe();
  await settle();
  assert.equal(Socket.made.length, 1);
});

test("a server that is away for the session is tried again, one that refuses is not", async () => {
  const proxy = [200, 302, 400, 401, 403, 404, 405, 413, 421, 425, 429, 500, 502, 503, 504].map((status) => [status, {}]);
  for (const plan of [["down"], ...proxy, [404, { error: { code: "not_found" } }]]) {
    const away = await setUp({ plan: [plan, plan] });
    await away.clock.advance(3_000);
    assert.equal(away.Socket.made.length, 1, `after ${plan[0]}`);
    const held = away.storage.getItem("understudy.session");
    away.client.stop();
    await away.clock.advance(3600_000);
    const back = await setUp({ storage: away.storage, clock: away.clock, plan: [plan] });
    assert.equal(away.storage.getItem("understudy.session"), held, `${plan[0]} ends no session`);
    back.client.stop();
  }
  const refused = await setUp({ plan: [[403, { error: { code: "forbidden", message: "Not here." } }]] });
  assert.deepEqual([refused.client.current.phase, refused.client.current.reason], ["refused", "Not here."]);
});

test("rubbish frames, pings and threads of other tabs disturb nothing", async () => {
  const { client, Socket, seen } = await setUp();
  const foreign = [];
  client.on("foreign", (event) => foreign.push(event.thread_id));
  Socket.last.open();
  Socket.last.onmessage({ data: "{nonsense" });
  Socket.last.say({ type: "ping", data: {} });
  Socket.last.say({ ...durable(1), thread_id: "elsewhere" });
  assert.deepEqual(seen, []);
  assert.deepEqual(foreign, ["elsewhere"]);
});

test("a gap noticed on a lost connection is asked for again on the next one", async () => {
  const { client, Socket, clock } = await setUp();
  Socket.last.open();
  client.subscriptions.follow("t", 0);
  Socket.last.say(durable(3));
  Socket.last.die();
  await clock.advance(1000);
  Socket.last.open();
  Socket.last.say(durable(1), durable(4));
  assert.deepEqual(Socket.last.commands("resume").map((one) => one.threads), [{ t: 0 }, { t: 1 }]);
  Socket.last.die();
  await clock.advance(1000);
  Socket.last.open();
  Socket.last.say(durable(4));
  assert.deepEqual(Socket.last.commands("resume").map((one) => one.threads), [{ t: 1 }, { t: 1 }]);
});

test("a reload keeps the order of messages said within one millisecond, however storage lists them", () => {
  const storage = new FakeStorage();
  const outbox = new Outbox(storage);
  for (const id of ["b", "a", "c"]) outbox.add({ message_id: id, thread_id: "t", payload: message(id) }, 5);
  const listed = new FakeStorage(Object.fromEntries([...storage.map].sort().reverse()));
  assert.deepEqual(new Outbox(listed).waiting().map((entry) => entry.message_id), ["b", "a", "c"]);
});

test("a broken entry in storage is skipped", () => {
  const storage = new FakeStorage({ "understudy.outbox.x": "{", "understudy.outbox.y": "{}", other: "1" });
  assert.equal(new Outbox(storage).size, 0);
});

test("backoff doubles, is capped and jittered; close codes say whether to return", () => {
  assert.deepEqual([0, 1, 2, 20, 41, 60].map((attempt) => backoff(attempt, () => 1)), [300, 600, 1200, 1200, 2400, 30_000]);
  assert.equal(backoff(0, () => 0), 150);
  const soon = [1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015, 3000, 3008, 4000, 4401, 4408, 4999];
  const later = [1002, 1003, 1007, 1008, 1009, 1010, 4429];
  assert.deepEqual(soon.filter((code) => !afterClose(code).retry || afterClose(code).atLeast > 0), []);
  assert.deepEqual(later.filter((code) => !afterClose(code).retry || afterClose(code).atLeast < 10_000), []);
  assert.deepEqual([4400, 4403].map((code) => afterClose(code).retry), [false, false]);
  assert.match(subprotocols("a.b-c_d")[1], /^jwt\.[A-Za-z0-9_-]+$/);
});

test("many threads are resumed in parts, as many at once as the server takes", async () => {
  const { client, Socket } = await setUp();
  for (let n = 0; n < 230; n += 1) client.subscriptions.follow(`t${n}`, n);
  Socket.last.open();
  const resumed = Socket.last.commands("resume").map((one) => Object.keys(one.threads));
  assert.deepEqual(resumed.map((part) => part.length), [100, 100, 30]);
  assert.equal(new Set(resumed.flat()).size, 230);
});

test("a command larger than a frame goes in parts, where the server takes them", async () => {
  const { client, Socket } = await setUp();
  const long = { ...message(), content: "x".repeat(5000) };
  Socket.last.open({}, { limits: { frame_bytes: 1024 }, capabilities: ["chunk"] });
  client.say(long);
  const parts = Socket.last.sent.filter((command) => command.type === "chunk");
  assert.deepEqual(parts.map((part) => part.index), parts.map((_, index) => index));
  assert.deepEqual(JSON.parse(parts.map((part) => part.data).join("")).payload, long);
  const plain = await setUp();
  plain.Socket.last.open({}, { limits: { frame_bytes: 1024 } });
  plain.client.say(long);
  assert.equal(plain.Socket.last.commands("user_message").length, 1); // the server will refuse it, and say so
});

test("what is shown is told at most once a second, and only when it moved", async () => {
  const { client, Socket, clock } = await setUp();
  Socket.last.open();
  client.subscriptions.follow("t", 0);
  client.ack("t", 9); // from storage: this connection has not carried it
  assert.deepEqual(Socket.last.commands("ack"), []);
  Socket.last.say(...[1, 2, 3, 4, 5, 6].map((seq) => durable(seq)));
  const acks = () => Socket.last.commands("ack").map((one) => one.seq);
  for (const seq of [1, 2, 5, 3]) client.ack("t", seq);
  assert.deepEqual(acks(), [1]);
  await clock.advance(1000);
  assert.deepEqual(acks(), [1, 5]);
  client.ack("t", 5);
  await clock.advance(5000);
  client.ack("t", 4);
  assert.deepEqual(acks(), [1, 5]);
  client.ack("t", 6);
  assert.deepEqual(acks(), [1, 5, 6]);
});

test("approvals and thumbs are sent again on each new connection until the server has taken them", async () => {
  const { client, Socket, clock, seen } = await setUp();
  client.approve("c1", "deny", "not now");
  client.feedback("answer-r", "up");
  client.feedback("answer-r", "down");
  Socket.last.open();
  const sent = () => [Socket.last.commands("approve"), Socket.last.commands("feedback")];
  assert.deepEqual(sent(), [[{ call_id: "c1", decision: "deny", note: "not now" }], [{ message_id: "answer-r", rating: "down" }]]);
  Socket.last.say({ type: "feedback", thread_id: "elsewhere", data: { message_id: "answer-r", rating: "down" } });
  Socket.last.die();
  await clock.advance(1000);
  Socket.last.open();
  assert.deepEqual(sent(), [[{ call_id: "c1", decision: "deny", note: "not now" }], []]);
  client.subscriptions.follow("t", 0);
  Socket.last.say({ ...durable(1), type: "approval_decided", data: { call_id: "c1", decision: "allow" } });
  assert.equal(seen.at(-1).data.decision, "allow");
  assert.equal(client.reliable.open.size, 0);
});

test("an edit and another answer wait, are sent once more, and end with what the server accepts", async () => {
  const { client, Socket, clock } = await setUp();
  Socket.last.open();
  client.open("t", { fresh: true });
  client.say(message("m1"));
  Socket.last.say(acceptance(1, "m1"));
  await settle();
  const edited = client.edit("m1", "Hello");
  const again = client.regenerate("m1");
  assert.equal(client.edit("unknown", "x"), null);
  assert.equal(client.regenerate("unknown"), null);
  assert.deepEqual(Socket.last.commands("edit"), [{ message_id: "m1", content: "Hello", new_message_id: edited }]);
  Socket.last.die();
  await clock.advance(1000);
  Socket.last.open();
  assert.deepEqual(Socket.last.commands("edit"), [{ message_id: "m1", content: "Hello", new_message_id: edited }]);
  Socket.last.say({ ...acceptance(2, edited), run_id: "r2", data: { message_id: edited, run_id: "r2", content: "Hello", branch_of: "m1" } });
  await settle();
  assert.deepEqual(Socket.last.commands("regenerate"), [{ message_id: "m1", request_id: again }]);
  // An answer made again before, told once more by a resume, is not the one that was asked for.
  Socket.last.say({ ...acceptance(1, "m1"), run_id: "r0", data: { message_id: "m1", run_id: "r0", content: "hi", branch_of: "m1" } });
  assert.equal(client.current.waiting, 1);
  Socket.last.say({ ...acceptance(3, "m1"), run_id: "r3", data: { message_id: "m1", run_id: "r3", content: "hi", branch_of: "m1" } });
  assert.equal(client.current.waiting, 0);
});

test("while the server goes away nothing new is begun there, and it goes out on the next connection", async () => {
  const { client, Socket, clock } = await setUp();
  Socket.last.open();
  Socket.last.say({ type: "drain", data: { reconnect_after_s: 2, closes_in_s: 1 } });
  assert.equal(client.current.draining, true);
  client.say(message());
  assert.deepEqual(Socket.last.commands("user_message"), []);
  Socket.last.die(1001);
  client.probe(); // the network is fine: that is no reason to come back before the server is
  await settle();
  assert.equal(Socket.made.length, 1);
  await clock.advance(2000);
  Socket.last.open();
  assert.equal(client.current.draining, false);
  assert.deepEqual(Socket.last.commands("user_message"), [message()]);
});

test("a server that drained restarts until it is back, or has been away for long", async () => {
  const { client, Socket, clock } = await setUp();
  Socket.last.open();
  Socket.last.say({ type: "drain", data: { reconnect_after_s: 2, closes_in_s: 1 } });
  Socket.last.die(1001);
  for (let tries = 0; tries < 4; tries += 1) {
    await clock.advance(10_000);
    assert.equal(client.current.draining, true);
    Socket.last.die(1006);
  }
  for (let waited = 0; waited < 120_000; waited += 10_000) {
    await clock.advance(10_000);
    if (Socket.last.readyState === 0) Socket.last.die(1006);
  }
  assert.equal(client.current.draining, false);
  assert.equal(client.current.phase, "offline");
});

test("an answer is gone on with until the server says yes or no, over a lost connection too", async () => {
  const { client, Socket, clock, notices } = await setUp();
  Socket.last.open();
  client.open("t", { fresh: true });
  client.say(message("m1"));
  Socket.last.say(acceptance(1, "m1"), durable(2, "error", { code: "agent_timeout", message: "Too late.", retryable: true }));
  assert.equal(client.continueAnswer("nothing"), false);
  assert.equal(client.continueAnswer("r"), true);
  assert.equal(client.state("t").turns[0].continuing, true);
  Socket.last.die();
  await clock.advance(1000);
  Socket.last.open();
  assert.deepEqual(Socket.last.commands("continue"), [{ run_id: "r" }]);
  Socket.last.say({ type: "message_accepted", seq: 3, thread_id: "t", run_id: "r2", data: { message_id: "m1", run_id: "r2", content: "hi", branch_of: "m1", continues: "r" } });
  assert.deepEqual(client.state("t").turns.map(({ runId, status, continuing }) => [runId, status, continuing]), [["r2", "accepted", false]]);
  assert.equal(client.reliable.open.size, 0);
  Socket.last.say({ ...durable(4, "error", { code: "agent_timeout", message: "Too late.", retryable: true }), run_id: "r2" });
  client.continueAnswer("r2");
  Socket.last.say({ type: "error", message_id: "continue-r2", data: { code: "not_continuable", message: "No.", retryable: false } });
  assert.equal(client.state("t").turns[0].continuing, false);
  assert.deepEqual(notices.map(({ code }) => code), ["not_continuable"]);
});

test("the browser's network, sleep and storage events are heeded, until stop", async () => {
  const [window, document] = [new EventTarget(), new EventTarget()];
  Object.assign(window, { document, location: { origin: "http://x" } });
  document.visibilityState = "visible";
  const { client, Socket } = await setUp({ window });
  Socket.last.open();
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(Socket.last.commands("ping").length, 1);
  window.dispatchEvent(new Event("offline"));
  assert.equal(client.current.phase, "offline");
  window.dispatchEvent(new Event("online"));
  await settle();
  assert.equal(Socket.made.length, 2);
  client.stop();
  window.dispatchEvent(new Event("online"));
  await settle();
  assert.equal(Socket.made.length, 2);
});

test("a token can be handed in, or obtained; neither ever becomes an anonymous user", async () => {
  const claims = btoa(JSON.stringify({ sub: "ada", sid: "s", exp: 4600 })).replace(/=+$/, "");
  const handed = await setUp({ token: `x.${claims}.y` });
  assert.deepEqual(handed.server.calls, []);
  assert.equal(atob(handed.Socket.last.protocols[1].slice(4)), `x.${claims}.y`);
  assert.equal(handed.client.session.stored.user, "ada");
  handed.client.stop();
  await handed.clock.advance(3_600_000);
  const later = await setUp({ storage: handed.storage, clock: handed.clock, token: `x.${claims}.y`, plan: [[401, { error: { code: "token_expired" } }]] });
  assert.deepEqual([later.client.current.phase, later.client.current.signIn], ["refused", true]);
  assert.deepEqual(later.server.calls.map(([path]) => path), ["/api/sessions/refresh"]);

  const asked = [];
  const obtained = await setUp({ token: async () => `t${asked.push(1)}` });
  assert.equal(atob(obtained.Socket.last.protocols[1].slice(4)), "t1");
  obtained.Socket.last.open();
  obtained.Socket.last.say({ type: "error", data: { code: "token_expired", message: "Renew.", retryable: false, error_id: "e" } });
  await settle();
  assert.deepEqual(obtained.Socket.last.commands("refresh"), [{ session_token: "t2" }]);
  assert.deepEqual(obtained.server.calls, []);
});

test("a renewed token of another user makes a new connection: the old one is not theirs", async () => {
  const tokenOf = (user) => `x.${btoa(JSON.stringify({ sub: user, sid: "s", exp: 4600 })).replace(/=+$/, "")}.y`;
  const tokens = [tokenOf("ada"), tokenOf("bob")];
  const { Socket } = await setUp({ token: async () => tokens.shift() });
  Socket.last.open({}, { user: "ada" });
  Socket.last.say({ type: "error", data: { code: "token_expired", message: "Renew.", retryable: false, error_id: "e" } });
  await settle();
  assert.equal(Socket.made.length, 2);
  assert.deepEqual(Socket.made[0].commands("refresh"), []);
  assert.ok(Socket.made[0].closedByUs);
});

for (const code of ["forbidden", "unauthenticated", "token_expired"]) {
  test(`a newer token that is refused (${code}) makes a new connection, and nothing that was said is lost`, async () => {
    let given = 0;
    const refusal = (more) => ({ type: "error", data: { message: "No.", retryable: false, error_id: "e", ...more } });
    const { client, Socket, clock, notices } = await setUp({ token: async () => `t${given += 1}` });
    Socket.last.open();
    client.say(message("m1"));
    Socket.last.say({ ...refusal({ code: "token_expired" }), message_id: "m1" });
    await settle();
    assert.deepEqual(Socket.last.commands("refresh"), [{ session_token: "t2" }]);
    Socket.last.say(refusal({ code }));
    await clock.advance(1000);
    assert.equal(Socket.made.length, 2);
    Socket.last.open();
    assert.equal(Socket.last.commands("user_message")[0].message_id, "m1");
    assert.deepEqual(notices, []);
  });
}

test("another user finds nothing of the one before", async () => {
  const { client, Socket, storage, clock } = await setUp();
  Socket.last.open({}, { user: "ada" });
  client.currentThreads.enter("guide", "t");
  client.open("t", { fresh: true });
  client.say(message());
  Socket.last.say(acceptance(1, "m1"));
  await clock.advance(2000);
  assert.ok(storage.getItem("understudy.history.t"));
  const users = [];
  client.on("user", ({ user }) => users.push(user));
  Socket.last.die();
  await clock.advance(1000);
  Socket.last.open({}, { user: "ada" });
  assert.ok(client.state("t"));
  Socket.last.die();
  await clock.advance(1000);
  Socket.last.open({}, { user: "bob" });
  assert.deepEqual([users, client.state("t"), storage.getItem("understudy.history.t"), client.currentThreads.thread("guide")], [["bob"], null, null, null]);
});

test("what was kept is shown before the log comes; of a long thread the rest comes from the log", async () => {
  const storage = new FakeStorage();
  const first = await setUp({ storage });
  first.Socket.last.open();
  first.client.open("t", { fresh: true });
  const log = [];
  for (let n = 1; n <= 30; n += 1) {
    log.push(acceptance(2 * n - 1, `m${n}`), { ...durable(2 * n, "final_response", { message: "y".repeat(20_000), status: "success" }) });
    for (const event of log.slice(-2)) Object.assign(event, { run_id: `r${n}` }, event.type === "message_accepted" && { data: { ...event.data, run_id: `r${n}` } });
  }
  first.Socket.last.say(...log);
  first.client.stop();
  const { client, Socket } = await setUp({ storage });
  const kept = client.open("t");
  assert.deepEqual([kept.cut, kept.turns.at(-1).messageId, kept.turns.length < 20], [true, "m30", true]);
  Socket.last.open();
  assert.deepEqual(Socket.last.commands("resume"), [{ threads: { t: 0 } }]);
  Socket.last.say(...log.slice(0, 40));
  assert.deepEqual([client.state("t").cut, client.state("t").turns.length], [true, kept.turns.length]);
  Socket.last.say(...log.slice(40));
  assert.deepEqual([client.state("t").cut, client.state("t").turns.length], [false, 30]);
});

test("a log that goes on elsewhere is replaced by the history, also when that is shorter", async () => {
  const past = [
    { id: "m1", role: "user", content: "Hi", run_id: "r1", created_at: 5, parent_id: null },
    { id: "answer-r1", role: "assistant", content: "Hello", run_id: "r1", created_at: 6, parent_id: "m1", status: "success", feedback: { rating: "up" } },
  ];
  const answer = [200, { messages: past, next_cursor: null }];
  const { client, Socket, seen } = await setUp({ plan: [[200, { session_token: "x", expires_at: 1e9 }], answer, answer] });
  Socket.last.open();
  client.open("t");
  Socket.last.say(durable(1), durable(2), durable(3), durable(4), durable(5));
  Socket.last.say({ type: "resync", thread_id: "t", data: { last_seq: 2 } });
  await settle();
  await settle();
  const state = client.state("t");
  assert.deepEqual([state.seq, state.turns.map((turn) => turn.final?.message), state.ratings], [2, ["Hello"], { "answer-r1": "up" }]);
  assert.deepEqual(Socket.last.commands("resume").at(-1), { threads: { t: 2 } });
  Socket.last.say({ ...acceptance(3, "m2"), run_id: "r2" });
  assert.equal(seen.at(-1).seq, 3);
});

test("all pages of a history come in order", async () => {
  const page = (ids, next) => [200, { messages: ids.map((id) => ({ id })), next_cursor: next }];
  const { client } = await setUp({ plan: [[200, { session_token: "x", expires_at: 1e9 }], page([5, 6], "c1"), page([3, 4], "c2"), page([1, 2], null)] });
  assert.deepEqual((await client.api.history("t")).map(({ id }) => id), [1, 2, 3, 4, 5, 6]);
});

test("the handshake's secret is kept out of addresses, and typing is told every three seconds at most", async () => {
  const { client, Socket, clock } = await setUp();
  assert.ok(!Socket.last.url.includes("token"));
  Socket.last.open();
  client.open("t", { fresh: true });
  client.typing("t");
  client.typing("t");
  await clock.advance(3000);
  client.typing("t");
  client.typing("not followed");
  assert.equal(Socket.last.commands("typing").length, 2);
});

test("a command without a name that was refused for now is said again; no message is blamed for it", async () => {
  const { client, Socket, clock } = await setUp();
  Socket.last.open();
  client.subscriptions.follow("t", 4);
  client.approve("c1", "allow");
  client.say(message("m1"));
  Socket.last.say({ type: "error", data: { code: "rate_limited", message: "Wait.", retryable: true, retry_after: 5, error_id: "e" } });
  Socket.last.say({ type: "error", thread_id: "t", data: { code: "invalid_command", message: "No.", retryable: false, error_id: "e" } });
  assert.equal(client.current.waiting, 1);
  await clock.advance(5000);
  assert.deepEqual([Socket.last.commands("resume").length, Socket.last.commands("approve").length], [2, 2]);
  assert.equal(Socket.last.commands("user_message").length, 1);
});

test("without a thread, a message goes to the thread of its agent; the first agent is the guide", async () => {
  const { client, storage } = await setUp();
  const where = (id) => client.threads.find(id).state.threadId;
  const [one, two] = [client.say("one"), client.say("two")];
  assert.equal(where(one), where(two));
  assert.deepEqual([client.currentThreads.current, client.outbox.get(one).payload.agent_type], ["guide", "guide"]);
  const other = client.say({ content: "three", agent_type: "liaison", pillar: "insights" });
  assert.notEqual(where(other), where(one));
  assert.equal(client.currentThreads.current, "guide");
  client.say({ content: "four", thread_id: "t", agent_type: "echo" });
  assert.deepEqual([client.currentThreads.thread("echo"), client.history("liaison", "insights").turns.length], [null, 1]);
  client.stop();
  const later = await setUp({ storage });
  assert.equal(later.client.threads.find(later.client.say("five")).state.threadId, client.currentThreads.thread("guide"));
});

test("a very long session keeps the end of its threads, and few threads", async () => {
  const { client, Socket } = await setUp();
  Socket.last.open();
  client.open("t", { fresh: true });
  const log = [];
  for (let n = 1; n <= 1100; n += 1) {
    const names = { thread_id: "t", run_id: `r${n}` };
    log.push({ ...names, type: "message_accepted", seq: 2 * n - 1, data: { message_id: `m${n}`, run_id: `r${n}`, content: "x" } });
    log.push({ ...names, type: "final_response", seq: 2 * n, data: { message: "y", status: "success" } });
  }
  Socket.last.say(...log);
  const { turns, cut } = client.state("t");
  assert.deepEqual([cut, turns.at(-1).messageId, turns.length <= 1000], [true, "m1100", true]);
  for (let n = 0; n < 40; n += 1) client.open(`t${n}`, { fresh: true });
  assert.equal(client.threads.states.size, 12);
  assert.equal(client.subscriptions.cursors.byThread.size, 12);
  assert.equal(client.open("t").turns.at(-1).messageId, "m1100"); // from what was kept
});

const question = (seq) => durable(seq, "approval_required", { agent_id: "a", call_id: "c1", tool_name: "x", parameters: {}, expires_at: 9e9 });
const call = (seq) => durable(seq, "tool_executing", { agent_id: "a", call_id: "c1", tool_name: "x", parameters: {}, description: "", timestamp: 1 });
const openCall = ({ turns }) => turns.flatMap(({ steps }) => steps).find(({ approval }) => approval?.state === "open");

test("a listener may decide, rate and stop at each change: each is done once, and nothing calls itself", async () => {
  const { client, Socket, seen } = await setUp();
  client.open("t");
  client.on("change", ({ state }) => {
    const step = openCall(state);
    if (!step) return;
    client.approve(step.callId, "allow");
    client.feedback("answer-r", "up");
    client.cancel({ runId: "r" });
    client.pick("t", state.turns[0].key);
  });
  Socket.last.open({ t: 0 });
  Socket.last.say(acceptance(1, "m1"), call(2), question(3));
  assert.deepEqual(Socket.last.commands("approve"), [{ call_id: "c1", decision: "allow" }]);
  assert.deepEqual(Socket.last.commands("feedback"), [{ message_id: "answer-r", rating: "up" }]);
  assert.ok(Socket.last.commands("cancel").length < 10);
  Socket.last.say(durable(4, "approval_decided", { call_id: "c1", decision: "allow" }));
  assert.equal(openCall(client.state("t")), undefined);
  assert.equal(seen.filter(({ type }) => type === "local.deciding").length, 1);
});

test("what a listener causes is told after what it was told, to all listeners in one order", async () => {
  const { client, Socket } = await setUp();
  client.open("t");
  const told = [[], []];
  const note = (list) => ({ state }) => list.push([state.seq, state.turns.length]);
  client.on("change", note(told[0]));
  client.on("change", ({ state }) => state.seq === 1 && state.turns.length === 1 && client.say({ ...message("m2") }));
  client.on("change", note(told[1]));
  Socket.last.open({ t: 0 });
  Socket.last.say(acceptance(1, "m1"));
  assert.deepEqual(told[0].slice(0, 2), [[1, 1], [1, 2]]);
  assert.deepEqual(told[1], told[0]);
});

test("a listener that fails costs nobody else an event", async (t) => {
  const { client, Socket } = await setUp();
  const faults = [];
  const before = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (fault) => faults.push(fault.message));
  t.after(() => {
    process.removeAllListeners("uncaughtException");
    for (const listener of before) process.on("uncaughtException", listener);
  });
  client.open("t");
  client.on("change", () => { throw new Error("mine"); });
  const told = [];
  client.on("change", ({ state }) => told.push(state.seq));
  Socket.last.open({ t: 0 });
  Socket.last.say(acceptance(1, "m1"), durable(2));
  await settle();
  assert.equal(told.at(-1), 2);
  assert.equal(client.state("t").seq, 2);
  assert.deepEqual([...new Set(faults)], ["mine"]);
});

test("an alert is told once: not if a notice at the message tells it, and with its chat if it is about one", async () => {
  const { client, Socket } = await setUp();
  const told = [];
  client.on("alert", ({ message: text, thread_id: threadId }) => told.push([text, threadId]));
  Socket.last.open();
  client.subscriptions.follow("t", 0);
  Socket.last.say({ type: "alert", data: { message: "Maintenance at noon." } });
  Socket.last.say({ type: "alert", thread_id: "t", data: { message: "A secret.", kinds: { "secret.jwt": 1 } } });
  Socket.last.say({ type: "alert", thread_id: "t", data: { message: "Said.", kinds: { "secret.jwt": 1 }, summarised: true } });
  await settle();
  assert.deepEqual(told, [["Maintenance at noon.", null], ["A secret.", "t"]]);
});
