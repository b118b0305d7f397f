/**
 * Runs against a server by the stock client of AG-UI, one scenario a process: `node agent.mjs ADDRESS TOKEN SCENARIO`.
 * What the client has made of it is printed as JSON.
 */

import { writeFile } from "node:fs/promises";

import { HttpAgent } from "@ag-ui/client";

const [address, token, scenario] = process.argv.slice(2);

function agentOf(threadId, ...messages) {
  const headers = { Authorization: `Bearer ${token}` };
  return new HttpAgent({ url: `${address}/api/agui?agent=script`, headers, threadId, initialMessages: messages });
}

const said = (id, content = "go") => ({ id, role: "user", content });

/** Runs an agent once; gives what its subscriber and its caller were told. `until` is the event to leave at. */
async function run(agent, until = null, given = {}) {
  const told = { kinds: [], errors: [], failed: null, pending: [] };
  const subscriber = {
    onEvent: ({ event }) => {
      told.kinds.push(event.type);
      if (event.type === until) {
        agent.detachActiveRun();
        agent.abortRun();
      }
    },
    onRunFinishedEvent: ({ pendingToolCallIds }) => { told.pending = pendingToolCallIds ?? []; },
    onRunErrorEvent: ({ event }) => { told.errors.push({ code: event.code, message: event.message }); },
    onRunFailed: ({ error }) => { told.failed = error.message; },
  };
  await agent.runAgent(given, subscriber).catch((error) => { told.failed = error.message; });
  return { ...told, messages: agent.messages };
}

const SCENARIOS = {
  answered: () => run(agentOf("t", said("m"))),
  refused: () => run(agentOf("t", said("m", " "))),
  async rejoined() {
    const page = agentOf("t", said("m")); // keeps what it has of the run, and joins it twice
    const left = await run(page, "TOOL_CALL_RESULT");
    await run(page, "TEXT_MESSAGE_CONTENT");
    await writeFile(new URL("left", import.meta.url), ""); // now the run may end
    const again = await run(page);
    return { left, again, whole: await run(agentOf("u", said("n"))), thread: await run(agentOf("t")) };
  },
  async interrupted() {
    const page = agentOf("t", said("m"));
    let rounds = 0;
    let told = await run(page);
    for (; page.pendingInterrupts.length > 0; rounds += 1) {
      const resume = page.pendingInterrupts.map(({ id }) => (
        { interruptId: id, status: "resolved", payload: { decision: "allow" } }));
      await run(page, "RUN_STARTED", { resume }); // the answers arrive, and the page is cut off
      told = await run(page, null, { resume });
    }
    return { ...told, rounds };
  },
  async tools() {
    const tools = [{ name: "weather", description: "The weather.", parameters: { type: "object", properties: {} } }];
    const page = agentOf("t", said("m"));
    const asked = await run(page, null, { tools });
    const [call] = asked.pending;
    page.addMessage({ id: "result", role: "tool", toolCallId: call, content: "20 °C" });
    await run(page, "RUN_STARTED", { tools }); // the result arrives, and the page is cut off
    return { call, told: await run(page, null, { tools }) };
  },
  ten: () => Promise.all(Array.from({ length: 10 }, (_, number) => run(agentOf(`t${number}`, said(`m${number}`))))),
};

console.log(JSON.stringify(await SCENARIOS[scenario]()));
