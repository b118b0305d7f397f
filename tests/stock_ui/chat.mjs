/**
 * Chats with a server by the stock client of the AI SDK, one scenario a process: `node chat.mjs ADDRESS TOKEN SCENARIO`.
 * What the client has made of it is printed as JSON.
 */

import { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";

const [address, token, scenario] = process.argv.slice(2);

/** The state that React holds for `useChat`. */
class State {
  messages = [];
  status = "ready";
  error = undefined;
  pushMessage = (message) => { this.messages = [...this.messages, message]; };
  popMessage = () => { this.messages = this.messages.slice(0, -1); };
  replaceMessage = (index, message) => { this.messages = this.messages.with(index, structuredClone(message)); };
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor(id, given = {}) {
    const headers = { Authorization: `Bearer ${token}` };
    const transport = new DefaultChatTransport({ api: `${address}/api/ui?agent=script`, headers, ...given });
    super({ id, transport, state: new State(),
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses });
  }

  told() {
    return { messages: this.messages, status: this.status, error: this.error?.message ?? null };
  }
}

/** Waits until the chat is at rest. */
async function settled(chat) {
  while (["submitted", "streaming"].includes(chat.status)) await new Promise((resolve) => setTimeout(resolve, 20));
  return chat.told();
}

const reconnect = { prepareReconnectToStreamRequest: ({ id }) => ({ api: `${address}/api/ui/${id}/stream` }) };

const SCENARIOS = {
  async answered() {
    const chat = new Chat("t");
    await chat.sendMessage({ text: "go" });
    return settled(chat);
  },
  async refused() {
    const chat = new Chat("t");
    await chat.sendMessage({ text: " " });
    return settled(chat);
  },
  async regenerated() {
    const chat = new Chat("t");
    await chat.sendMessage({ text: "go" });
    await chat.regenerate();
    return settled(chat);
  },
  async decided() {
    const chat = new Chat("t");
    await chat.sendMessage({ text: "go" });
    const asked = await settled(chat);
    const part = asked.messages.at(-1).parts.find((each) => each.state === "approval-requested");
    await chat.addToolApprovalResponse({ id: part.approval.id, approved: true });
    await new Promise((resolve) => setTimeout(resolve, 50));
    return settled(chat);
  },
  /** Leaves in the middle, as a reloaded page does, and comes back with the history that it had. */
  async resumed() {
    const left = new Chat("t", reconnect);
    const sent = left.sendMessage({ text: "go" });
    while (!left.messages.at(-1)?.parts.some((each) => each.type === "dynamic-tool")) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    left.stop();
    await sent;
    const back = new Chat("t", reconnect);
    back.messages = left.messages.slice(0, 1);
    const resumed = back.resumeStream();
    while (!back.messages.at(-1)?.parts.some((each) => each.type === "dynamic-tool")) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const headers = { Authorization: `Bearer ${token}` }; // the sign for the test to let the run go on
    await fetch(`${address}/api/threads/t`, { method: "PATCH", headers, body: JSON.stringify({ title: "back" }) });
    await resumed;
    const idle = new Chat("none", reconnect);
    await idle.resumeStream();
    return { ...(await settled(back)), idle: idle.told() };
  },
};

console.log(JSON.stringify(await SCENARIOS[scenario]()));
