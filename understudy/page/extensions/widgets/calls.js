/** The widgets of the open chat, and the calls that they ask for: made by the server as runs of their thread, whose turns have the results. */

import { randomId } from "../../client/ids.js";
import { LIVE, WIDGET_CALL } from "../../client/threads/turns.js";
import { callResult } from "./bridge.js";

export class WidgetCalls {
  /** `ask` is that of the page's interface; `chat.current` the id of the open chat. */
  constructor({ ask, chat }) {
    Object.assign(this, { ask, chat });
    this.waiting = new Map(); // id of a call's message -> {threadId, resolve}
  }

  /** Resolves to {html, frame, tool, arguments, result}: the user interface of a call's tool, the address of its frame, and the call. */
  read(callId) {
    return this.ask("GET", `${this.#path}?${new URLSearchParams({ call_id: callId })}`);
  }

  /** Calls a tool for the widget of the call `callId`. Resolves to a result of the protocol; rejects if it is refused. */
  async call(callId, name, parameters) {
    const threadId = this.chat.current;
    const requestId = randomId();
    const ended = new Promise((resolve) => { this.waiting.set(WIDGET_CALL + requestId, { threadId, resolve }); });
    try {
      await this.ask("POST", `${this.#path}/calls`, { call_id: callId, name, arguments: parameters, request_id: requestId });
      return await ended;
    } finally {
      this.waiting.delete(WIDGET_CALL + requestId);
    }
  }

  /** Takes the state of the open chat whenever it has changed. Nobody waits for the calls of another one. */
  take({ threadId, turns }) {
    for (const call of this.waiting.values()) if (call.threadId !== threadId) call.resolve(callResult(null, "left", true));
    for (const [messageId, call] of this.waiting) {
      const turn = turns.findLast((one) => one.messageId === messageId);
      if (turn && !LIVE.has(turn.status)) call.resolve(resultOf(turn));
    }
  }

  get #path() {
    return `/api/threads/${encodeURIComponent(this.chat.current)}/widget`;
  }
}

function resultOf({ steps, error, final }) {
  const call = steps.find(({ kind }) => kind === "tool");
  if (!call) return callResult(null, error?.message || final?.message || "", true);
  return callResult(call.result, call.summary, call.status !== "ok");
}
