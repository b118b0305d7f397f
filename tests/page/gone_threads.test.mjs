import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../../understudy/page/client.js";
import { goneThreads } from "../../understudy/page/client/threads/known_threads.js";
import { FakeClock, FakeStorage, sessionServer, settle, socketClass } from "./fakes.mjs";

const accepted = (id) => ({ type: "message_accepted", seq: 1, thread_id: id, run_id: id, data: { message_id: id, run_id: id, content: "hi" } });
const ended = (id) => ({ type: "final_response", seq: 2, thread_id: id, run_id: id, data: { message: "ho", status: "success" } });

/** A client that has had an event of each of these threads; the server has `there` of them, or fails with a status. */
async function made(ids, there) {
  const clock = new FakeClock();
  const Socket = socketClass();
  const sessions = sessionServer(clock, []);
  const asked = [];
  const fetch = async (path, options) => {
    const [, id] = /\/api\/threads\/([^/?]+)$/.exec(path) ?? [];
    if (!id) return sessions.fetch(path, options);
    asked.push(id);
    const status = Number.isInteger(there) ? there : there.includes(id) ? 200 : 404;
    return { ok: status === 200, status, json: async () => ({ id, code: "not_found" }) };
  };
  const client = new Client({ url: "ws://x/api/ws/agent", storage: new FakeStorage(), fetch, WebSocket: Socket, now: clock.now, timers: clock.timers, random: () => 0.5 });
  client.start();
  await settle();
  Socket.last.open();
  for (const id of ids) {
    client.open(id);
    Socket.last.say(accepted(id), ended(id));
  }
  await settle();
  client.threads.persist();
  return { client, asked, Socket, clock };
}

test("what was deleted meanwhile is found among what is held or kept; the listed chats are not asked for", async () => {
  const ids = Array.from({ length: 14 }, (_, number) => `t${number}`); // two more than are held: those are only kept
  const { client, asked } = await made(ids, ["t1", "t3"]);
  const listed = ids.slice(4).map((id) => ({ id }));
  assert.equal(client.state("t0"), null);
  assert.deepEqual((await goneThreads(client, listed)).toSorted(), ["t0", "t2"]);
  assert.deepEqual(asked.toSorted(), ["t0", "t1", "t2", "t3"]);
  client.forget("t0");
  client.forget("t2");
  assert.deepEqual(await goneThreads(client, listed), []);
});

test("a chat that is still to be sent, one without events, and any chat while the server cannot say are not gone", async () => {
  const { client, asked } = await made(["a"], []);
  client.open("empty");
  client.open("new", { fresh: true });
  client.connection.stop();
  client.say({ content: "later", thread_id: "a" });
  assert.deepEqual(await goneThreads(client, []), []);
  assert.deepEqual(asked, []);
  const other = await made(["a"], 503);
  assert.deepEqual(await goneThreads(other.client, []), []);
  assert.deepEqual(other.asked, ["a"]);
});

test("a thread that is being read says nevertheless that it was deleted", async () => {
  const { client, Socket } = await made(["a"], []);
  const foreign = [];
  client.on("foreign", (event) => foreign.push(event.type));
  client.subscriptions.hold("a");
  Socket.last.say({ type: "thread_changed", thread_id: "a", data: { deleted: true } }, { type: "partial_result", thread_id: "a", run_id: "a", data: {} });
  assert.deepEqual(foreign, ["thread_changed"]);
});
