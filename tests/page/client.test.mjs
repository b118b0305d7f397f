import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../../understudy/page/client.js";
import { afterClose, backoff, subprotocols } from "../../understudy/page/closing.js";
import { Outbox } from "../../understudy/page/outbox.js";
import { Session } from "../../understudy/page/session.js";
import { FakeClock, FakeStorage, sessionServer, settle, socketClass } from "./fakes.mjs";

async function setUp({ storage = new FakeStorage(), plan = [], isOnline, clock = new FakeClock(), start = true } = {}) {
  const server = sessionServer(clock, plan);
  const Socket = socketClass();
  const session = new Session({ fetch: server.fetch, storage, now: clock.now });
  const client = new Client({
    url: "ws://x/api/ws/agent", session, outbox: new Outbox(storage), WebSocket: Socket, now: clock.now, random: () => 0.5,
    timers: clock.timers, isOnline,
  });
  const seen = [];
  const states = [];
  const notices = [];
  client.on("events", (events) => seen.push(...events));
  client.on("state", (state) => states.push(state.phase));
  client.on("notice", (notice) => notices.push(notice));
  if (start) client.start();
  await settle();
  return { client, clock, storage, server, Socket, seen, states, notices, session };
}

const durable = (seq, type = "agent_thinking", data = {}) => ({ type, seq, thread_id: "t", run_id: "r", data });
const acceptance = (seq, id) => ({ type: "message_accepted", seq, thread_id: "t", run_id: "r", data: { message_id: id, run_id: "r", content: "hi" } });
const message = (id = "m1") => ({ content: "hi", thread_id: "t", message_id: id, agent_type: "guide", pillar: null, references: [] });

test("connecting makes a session, offers the dialect and the token, and says hello", async () => {
  const { Socket, server, states } = await setUp();
  assert.deepEqual(server.calls, [["/api/sessions", null]]);
  assert.deepEqual(Socket.last.protocols, ["understudy.v1", `jwt.${btoa("token-1").replace(/=+$/, "")}`]);
  Socket.last.open();
  assert.deepEqual(Socket.last.commands("hello"), [{ batch: true, html: true }]);
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
  const { server } = await setUp({ storage: first.storage, clock: first.clock, plan: [[401, {}]] });
  assert.deepEqual(server.calls.map(([path]) => path), ["/api/sessions/refresh", "/api/sessions"]);
});

test("every event of a thread arrives once, in order, whatever is repeated or lost", async () => {
  const { client, Socket, seen } = await setUp();
  Socket.last.open();
  client.follow("t", 0);
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
  client.follow("t", 0);
  Socket.last.say(durable(1), durable(2));
  Socket.last.die(1006);
  assert.equal(client.current.phase, "offline");
  assert.equal(client.current.retryAt, clock.now() + 375);
  await clock.advance(375);
  Socket.last.die(1006);
  assert.equal(client.current.retryAt, clock.now() + 750);
  await clock.advance(750);
  Socket.last.open();
  assert.deepEqual(Socket.last.commands("resume"), [{ threads: { t: 2 } }]);
  Socket.last.die(1006);
  assert.equal(client.current.retryAt, clock.now() + 375);
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
  client.follow("t", 0);
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
  assert.deepEqual([seen.at(-1).type, seen.at(-1).thread_id, seen.at(-1).data.message_id], ["local.rejected", "t2", "m2"]);
  assert.equal(client.current.waiting, 1);
  Socket.last.say(refusal("not_found", { message_id: "m1", thread_id: "t" }));
  assert.deepEqual([seen.at(-1).type, seen.at(-1).data.message_id], ["local.rejected", "m1"]);
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
  assert.equal(client.current.retryAt, clock.now() + 6000);
  await clock.advance(6000);
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
  const away = await setUp({ plan: [["down"], [503, {}]] });
  await away.clock.advance(3_000);
  assert.equal(away.Socket.made.length, 1);
  const refused = await setUp({ plan: [[403, { error: { message: "Not here." } }]] });
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
  client.follow("t", 0);
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
  for (const id of ["b", "a", "c"]) outbox.add(message(id), 5);
  const listed = new FakeStorage(Object.fromEntries([...storage.map].sort().reverse()));
  assert.deepEqual(new Outbox(listed).waiting().map((entry) => entry.message_id), ["b", "a", "c"]);
});

test("a broken entry in storage is skipped", () => {
  const storage = new FakeStorage({ "understudy.outbox.x": "{", "understudy.outbox.y": "{}", other: "1" });
  assert.equal(new Outbox(storage).size, 0);
});

test("backoff doubles, is capped and jittered; close codes say whether to return", () => {
  assert.deepEqual([0, 1, 2, 20].map((attempt) => backoff(attempt, () => 1)), [500, 1000, 2000, 30_000]);
  assert.equal(backoff(0, () => 0), 250);
  assert.deepEqual([1001, 1006, 1013, 4408, 4429, 4401].map((code) => afterClose(code).retry), Array(6).fill(true));
  assert.deepEqual([1000, 1008, 1009, 4400, 4403].map((code) => afterClose(code).retry), Array(5).fill(false));
  assert.match(subprotocols("a.b-c_d")[1], /^jwt\.[A-Za-z0-9_-]+$/);
});
