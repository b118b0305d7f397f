/** Tabs of the chat page's own client in one Node: orders come as lines of JSON, what the clients were given goes. */

import { createInterface } from "node:readline";

import { Client } from "../../understudy/page/client.js";
import { FakeStorage } from "../page/fakes.mjs";
import { webSocketClass } from "../page/websocket.mjs";

const tabs = new Map(); // name -> {client, storage, threads}
const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

function waiting({ client, threads }) {
  return threads.flatMap((threadId) => client.outbox.waiting(threadId).map((entry) => entry.message_id));
}

function open({ tab, url, token, threads }) {
  const Socket = webSocketClass();
  const { storage = new FakeStorage() } = tabs.get(tab) ?? {};
  const client = new Client({ url, token, WebSocket: Socket, storage });
  const held = { client, storage, threads };
  tabs.set(tab, held);
  client.on("events", (events) => {
    Socket.heard.length = 0; // kept for other tests
    const heard = events.filter(({ type }) => !type.startsWith("local.") || type === "local.rejected");
    tell({ tab, events: heard, waiting: waiting(held) });
  });
  client.on("state", ({ phase, reason }) => {
    const sockets = Socket.made.map(({ readyState }) => readyState).slice(-3);
    tell({ tab, events: [], waiting: waiting(held), status: `${phase} ${reason} ${sockets}` });
  });
  client.on("notice", ({ code, message }) => tell({ tab, notice: { code, message } }));
  threads.forEach((threadId) => client.open(threadId));
  tell({ tab, began: Object.fromEntries(threads.map((threadId) => [threadId, client.subscriptions.seq(threadId)])) });
  client.start();
}

const orders = {
  open,
  close: ({ tab }) => tabs.get(tab).client.stop(),
  say: ({ tab, said }) => tabs.get(tab).client.say(said),
  follow: ({ tab, thread_id: threadId }) => tabs.get(tab).client.subscriptions.resync(threadId),
  cancel: ({ tab, run_id: runId }) => tabs.get(tab).client.cancel({ runId }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  orders[order.do](order);
}
process.exit(0);
