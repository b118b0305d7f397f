/**
 * A page of the stock AG-UI client that is cut off: `node agui_client.mjs ADDRESS TOKEN THREAD LIVES EVENTS`.
 *
 * After EVENTS events (0: never) it prints "cut". LIVES "no": it is gone then. LIVES "yes": its server is killed; it reads
 * the next server's address from stdin, and joins the run with what it has. At the end it prints what it shows.
 */

import { createInterface } from "node:readline/promises";
import { HttpAgent } from "@ag-ui/client";

const [address, token, threadId, lives, events] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${token}` };
const initialMessages = [{ id: `m-${threadId}`, role: "user", content: "go" }];
const at = (server) => `${server}/api/agui?agent=slow`;
const page = new HttpAgent({ url: at(address), headers, threadId, initialMessages });
// When a connection is cut, the client also leaves a promise rejected: a page logs that, and node would end.
process.on("unhandledRejection", () => {});
let seen = 0;
let ended = false;

const subscriber = {
  onEvent: ({ event }) => {
    seen += 1;
    ended = event.type === "RUN_FINISHED";
    if (seen !== Number(events)) return;
    process.stdout.write("cut\n");
    if (lives === "no") process.exit(0);
  },
};

await page.runAgent({}, subscriber).catch(() => {});
if (Number(events) > 0) {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  page.url = at((await lines.next()).value);
  for (ended = false; !ended; ) {
    await page.runAgent({}, subscriber).catch(() => {});
  }
}
const results = new Map(page.messages.filter(({ role }) => role === "tool").map((each) => [each.toolCallId, each.content]));
const calls = page.messages.flatMap(({ toolCalls }) => toolCalls ?? []);
const texts = page.messages.filter(({ role, content }) => role === "assistant" && content);
const shown = {
  texts: texts.map(({ content }) => content),
  calls: calls.map(({ id, function: called }) => [called.name, called.arguments, results.get(id) ?? null]),
  thoughts: page.messages.filter(({ role }) => role === "reasoning").map(({ content }) => content),
  results: page.messages.filter(({ role }) => role === "tool").length,
};
process.stdout.write(`${JSON.stringify({ seen, shown })}\n`);
process.exit(0);
