/**
 * Runs against a server by the stock client of AG-UI, one scenario a process: `node agent.mjs ADDRESS TOKEN SCENARIO`.
 * What the client has made of it is printed as JSON.
 */

import { HttpAgent } from "@ag-ui/client";

const [address, token, scenario] = process.argv.slice(2);

function agentOf(threadId, ...messages) {
  const headers = { Authorization: `Bearer ${token}` };
  return new HttpAgent({ url: `${address}/api/agui?agent=script`, headers, threadId, initialMessages: messages });
}

const said = (id, content = "go") => ({ id, role: "user", content });

/** Runs an agent once; gives what its subscriber and its caller were told. `until` is the event to leave at. */
async function run(agent, until = null) {
  const told = { kinds: [], errors: [], failed: null };
  const subscriber = {
    onEvent: ({ event }) => {
      told.kinds.push(event.type);
      if (event.type === until) agent.abortRun();
    },
    onRunErrorEvent: ({ event }) => { told.errors.push({ code: event.code, message: event.message }); },
    onRunFailed: ({ error }) => { told.failed = error.message; },
  };
  await agent.runAgent({}, subscriber).catch((error) => { told.failed = error.message; });
  return { ...told, messages: agent.messages };
}

const SCENARIOS = {
  answered: () => run(agentOf("t", said("m"))),
  refused: () => run(agentOf("t", said("m", " "))),
  async rejoined() {
    const left = await run(agentOf("t", said("m")), "TOOL_CALL_RESULT");
    return { left, again: await run(agentOf("t", said("m"))) };
  },
  ten: () => Promise.all(Array.from({ length: 10 }, (_, number) => run(agentOf(`t${number}`, said(`m${number}`))))),
};

console.log(JSON.stringify(await SCENARIOS[scenario]()));
