/** The JavaScript client against the real server, over real sockets. Run by `test_live_client.py`. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gunzipSync } from "node:zlib";

import { answerId, beside, visible } from "../../understudy/page/client/threads/branches.js";
import { Client } from "../../understudy/page/client.js";
import { FakeStorage } from "./fakes.mjs";
import { Server, Wire } from "./server.mjs";
import { webSocketClass } from "./websocket.mjs";

const WAIT_MS = 15_000;
const LONG = "Tell about 60 things"; // a starter of the agent below

let server;
before(async () => { server = await Server.started({ UNDERSTUDY_LIMITS_FRAME_BYTES: "4096", UNDERSTUDY_LIMITS_CONNECTIONS_PER_USER: "10" }, "tests.end_to_end.noting_agent:guide"); });
after(() => server.remove());

/** A client, everything it told, and a way to wait for what it will tell. */
function peer(context, { storage = new FakeStorage(), port = server.port, start = true } = {}) {
  const Socket = webSocketClass();
  const client = new Client({ url: `ws://127.0.0.1:${port}/ws`, WebSocket: Socket, storage });
  const events = [];
  const notices = [];
  const checks = new Set();
  const look = () => checks.forEach((check) => check());
  client.on("events", (news) => events.push(...news));
  client.on("notice", (notice) => notices.push(notice));
  for (const name of ["change", "state", "welcome", "notice", "alert"]) client.on(name, () => queueMicrotask(look));
  const until = (what, done) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`never: ${what}; ${JSON.stringify([client.current, notices])}`)), WAIT_MS);
    const check = () => {
      const found = done();
      if (!found) return;
      clearTimeout(timer);
      checks.delete(check);
      resolve(found);
    };
    checks.add(check);
    check();
  });
  const answered = (key) => until(`an answer to ${key}`, () => {
    const turn = client.threads.find(key)?.turn;
    return ["done", "failed", "cancelled"].includes(turn?.status) && turn;
  });
  context.after(() => client.stop());
  if (start) client.start();
  return { client, Socket, storage, events, notices, until, answered };
}

const numbers = (events, threadId) => events.filter((event) => event.thread_id === threadId && event.seq).map((event) => event.seq);
const inARow = (list) => list.map((_, index) => index + 1);

test("a message is shown at once, accepted, answered, and told in states", async (context) => {
  const { client, events, answered, until } = peer(context);
  const { threadId } = await client.switchAgent("guide");
  const id = client.say("What is 15% of 80?");
  assert.match(client.state(threadId).turns[0].status, /waiting|sent/);
  const turn = await answered(id);
  assert.match(turn.final.message, /12/);
  await until("online", () => client.current.phase === "online" && client.current.waiting === 0);
  assert.deepEqual(numbers(events, threadId), inARow(numbers(events, threadId)));
  assert.equal(events.filter((event) => event.type === "message_accepted").length, 1);
});

test("an answer survives a wire that is cut again and again: nothing lost, nothing twice", async (context) => {
  const wire = await Wire.to(server);
  context.after(() => wire.close());
  const { client, Socket, events, until, answered } = peer(context, { port: wire.port });
  const { threadId } = await client.switchAgent("guide");
  const id = client.say(LONG);
  for (let cuts = 1; cuts <= 3; cuts += 1) {
    await until("text", () => {
      const [turn] = client.state(threadId).turns;
      return turn.status === "done" || turn.stream.points > cuts * 40;
    });
    wire.cut();
    await until("the next connection", () => client.current.phase === "online" && Socket.made.length > cuts);
  }
  const turn = await answered(id);
  assert.ok(turn.final.message.includes("🎭"));
  assert.ok(Socket.made.length >= 4);
  assert.deepEqual(numbers(events, threadId), inARow(numbers(events, threadId)));
  assert.equal(events.filter((event) => event.type === "final_response").length, 1);
});

test("a command larger than a frame goes in parts, a large event comes in parts, packed and in order", async (context) => {
  const { client, Socket, events, answered, until } = peer(context);
  await client.switchAgent("guide");
  await until("welcome", () => client.connection.capabilities.has("chunk"));
  const content = `Read this: ${Array.from({ length: 1500 }, (_, n) => `Point ${n} is about “${n * 7919 % 1000}” 🎭.`).join(" ")}`;
  assert.ok(Buffer.byteLength(content) > 10 * 4096);
  const turn = await answered(client.say(content));
  assert.equal(turn.content, content);
  assert.equal(turn.status, "done");
  const packed = Socket.heard.filter((frame) => Buffer.isBuffer(frame)).map((frame) => gunzipSync(frame).toString());
  assert.ok(packed.some((text) => text.includes('"type":"chunk"')), "no event came in parts");
  assert.ok(Socket.heard.concat(packed).some((frame) => typeof frame === "string" && frame.startsWith("[")), "nothing came together");
  assert.deepEqual(numbers(events, client.currentThreads.thread()), inARow(numbers(events, client.currentThreads.thread())));
});

test("one connection carries every agent; each has a thread and a history of its own", async (context) => {
  const { client, Socket, storage, answered } = peer(context);
  await client.switchAgent("guide");
  await answered(client.say("What is 2 + 2?"));
  await client.switchAgent("liaison", "content");
  await answered(client.say("What is 3 + 3?"));
  await client.switchAgent("guide");
  assert.equal(Socket.made.length, 1);
  assert.deepEqual(client.history("guide").turns.map((turn) => turn.content), ["What is 2 + 2?"]);
  assert.deepEqual(client.history("liaison", "content").turns.map((turn) => [turn.content, turn.agentType, turn.pillar]), [["What is 3 + 3?", "liaison", "content"]]);
  client.stop();

  const reloaded = peer(context, { storage, start: false });
  assert.deepEqual(reloaded.client.history().turns.map((turn) => turn.content), ["What is 2 + 2?"]);
  assert.deepEqual(reloaded.client.history("liaison", "content").turns.map((turn) => turn.content), ["What is 3 + 3?"]);

  for (const key of [...storage.map.keys()]) if (!key.endsWith(".session")) storage.removeItem(key);
  const bare = peer(context, { storage });
  await bare.client.switchAgent("liaison", "content");
  await bare.until("the history of the server", () => bare.client.history().turns[0]?.final);
  assert.equal(bare.client.history().turns[0].content, "What is 3 + 3?");
});

test("a reload shows what was there before any server is asked, and goes on after it", async (context) => {
  const first = peer(context);
  const { threadId } = await first.client.switchAgent("guide");
  await first.answered(first.client.say("What is 2 + 2?"));
  const { seq } = first.client.state(threadId);
  first.client.stop();
  const { client, events, answered } = peer(context, { storage: first.storage, start: false });
  const state = client.open(threadId);
  assert.deepEqual([state.seq, state.turns[0].final.message], [seq, "2 + 2 = 4"]);
  const waiting = client.say("What is 5 + 5?");
  client.start();
  await answered(waiting);
  assert.equal(numbers(events, threadId)[0], seq + 1);
});

test("two tabs in step: one message though both may send it, shown in both", async (context) => {
  const one = peer(context);
  const { threadId } = await one.client.switchAgent("guide");
  await one.answered(one.client.say("What is 2 + 2?"));
  const two = peer(context, { storage: one.storage });
  two.client.open(threadId);
  await two.until("the other tab's message", () => two.client.state(threadId).turns[0]?.final);
  const payload = { content: "What is 9 + 9?", thread_id: threadId, message_id: "said-in-both", agent_type: "guide" };
  one.client.say(payload);
  two.client.say(payload);
  await Promise.all([one.answered("said-in-both"), two.answered("said-in-both")]);
  for (const { client, events } of [one, two]) {
    assert.deepEqual(client.state(threadId).turns.map((turn) => turn.content), ["What is 2 + 2?", "What is 9 + 9?"]);
    assert.deepEqual(numbers(events, threadId), inARow(numbers(events, threadId)));
  }
});

test("what the server takes out of a message is taken out of what was shown; a refusal marks it failed", async (context) => {
  const { client, answered, until } = peer(context);
  const { threadId } = await client.switchAgent("guide");
  const secret = `sk-${"a1B2c3D4".repeat(6)}`;
  const id = client.say(`My key is ${secret}`);
  assert.ok(client.state(threadId).turns[0].content.includes(secret));
  const turn = await answered(id);
  assert.ok(!turn.content.includes(secret), turn.content);
  client.say({ content: "Hello", message_id: "nobody", agent_type: "nobody" });
  const refused = await until("a refusal", () => client.threads.find("nobody")?.turn.status === "rejected" && client.threads.find("nobody").turn);
  assert.equal(refused.error.code, "unknown_agent_type");
  assert.equal(client.current.waiting, 0);
  client.withdraw("nobody");
  assert.equal(client.threads.find("nobody"), null);
});

test("an edit and another answer are branches; thumbs and approval come back from the server", async (context) => {
  const { client, answered, until } = peer(context);
  const { threadId } = await client.switchAgent("guide");
  const first = await answered(client.say("What is 6 * 7?"));
  await answered(client.edit("no such message", "x") ?? client.edit(first.messageId, "What is 6 * 8?"));
  const shown = () => visible(client.state(threadId)).map((turn) => turn.content);
  assert.deepEqual(shown(), ["What is 6 * 8?"]);
  client.pick(threadId, first.key);
  assert.deepEqual(shown(), ["What is 6 * 7?"]);
  const follow = await answered(client.say("What is 1 + 1?"));
  assert.equal(follow.parentId, answerId(first.runId));
  assert.deepEqual(shown(), ["What is 6 * 7?", "What is 1 + 1?"]);
  const again = await answered(client.regenerate(follow.messageId));
  assert.notEqual(again.runId, follow.runId);
  assert.equal(beside(client.state(threadId), again).answers.length, 2);
  assert.deepEqual(shown(), ["What is 6 * 7?", "What is 1 + 1?"]);
  assert.equal(client.current.waiting, 0);

  client.feedback(answerId(again.runId), "up", "quick");
  await until("thumbs", () => client.reliable.open.size === 0);
  assert.equal(client.state(threadId).ratings[answerId(again.runId)], "up");

  const asking = client.say("Save a note: buy milk");
  const step = await until("a question", () => client.threads.find(asking).turn.steps.find((one) => one.approval?.state === "open"));
  assert.equal(step.approval.parameters.text, "buy milk");
  client.approve(step.callId, "deny", "not today");
  const denied = await answered(asking);
  assert.deepEqual(denied.steps.filter((one) => one.callId).map((one) => [one.status, one.approval.decision, one.approval.note]), [["denied", "deny", "not today"]]);
});

test("a restart is announced; what is said meanwhile goes out when the server is back", async (context) => {
  const { client, answered, until, events } = peer(context);
  const { threadId } = await client.switchAgent("guide");
  await answered(client.say("What is 2 + 2?"));
  const gone = server.stop();
  await until("a drain", () => client.current.draining);
  const id = client.say("What is 4 + 4?");
  await gone;
  await server.start();
  const turn = await answered(id);
  assert.equal(turn.final.message, "4 + 4 = 8");
  assert.equal(client.current.draining, false);
  assert.deepEqual(numbers(events, threadId), inARow(numbers(events, threadId)));
});
