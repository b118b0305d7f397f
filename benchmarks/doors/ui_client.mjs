/**
 * A page of the stock AI SDK that is cut off: `node ui_client.mjs ADDRESS TOKEN THREAD LIVES EVENTS`.
 *
 * After EVENTS chunks (0: never) it prints "cut". LIVES "no": it is gone then. LIVES "yes": its server is killed; it reads
 * the next server's address from stdin, and resumes the message that it has. At the end it prints what it shows.
 */

import { createInterface } from "node:readline/promises";
import { AbstractChat, DefaultChatTransport } from "ai";

const [address, token, threadId, lives, events] = process.argv.slice(2);
let server = address;
let seen = 0;
let ended = false;

class State {
  messages = [{ id: `m-${threadId}`, role: "user", parts: [{ type: "text", text: "go" }] }];
  status = "ready";
  error = undefined;
  pushMessage = (message) => { this.messages = [...this.messages, message]; };
  popMessage = () => { this.messages = this.messages.slice(0, -1); };
  replaceMessage = (index, message) => { this.messages = this.messages.with(index, structuredClone(message)); };
  snapshot = (value) => structuredClone(value);
}

class Transport extends DefaultChatTransport {
  processResponseStream(stream) {
    return super.processResponseStream(stream).pipeThrough(new TransformStream({
      transform(chunk, controller) {
        controller.enqueue(chunk);
        seen += 1;
        ended = chunk.type === "finish";
        if (seen !== Number(events)) return;
        process.stdout.write("cut\n");
        if (lives === "no") process.exit(0);
      },
    }));
  }
}

class Chat extends AbstractChat {}

const transport = new Transport({
  headers: { Authorization: `Bearer ${token}` },
  prepareSendMessagesRequest: ({ id, messages, trigger, messageId }) => (
    { api: `${server}/api/ui?agent=slow`, body: { id, messages, trigger, messageId } }),
  prepareReconnectToStreamRequest: ({ id }) => ({ api: `${server}/api/ui/${id}/stream` }),
});
const page = new Chat({ id: threadId, transport, state: new State() });
process.on("unhandledRejection", () => {});

/** Does what a page does that is loaded: it resumes the run at work. If none is, it sends the message again. */
async function join() {
  await page.resumeStream();
  if (ended) return;
  page.messages = page.messages.slice(0, 1);
  await page.sendMessage();
}

await join();
if (Number(events) > 0) {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  server = (await lines.next()).value;
  for (ended = false; !ended; ) await join();
}
const parts = page.messages.flatMap((each) => (each.role === "assistant" ? each.parts : []));
const shown = {
  texts: parts.filter(({ type }) => type === "text").map(({ text }) => text),
  calls: parts.filter(({ type }) => type === "dynamic-tool").map((each) => [each.toolName, each.input, each.output, each.state]),
  thoughts: parts.filter(({ type }) => type === "reasoning").map(({ text }) => text),
  messages: page.messages.length,
};
process.stdout.write(`${JSON.stringify({ seen, shown })}\n`);
process.exit(0);
