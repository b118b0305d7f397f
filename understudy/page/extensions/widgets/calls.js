/** The calls that widgets ask for: made by the server as runs of their thread, whose turns have the results. */

import { randomId } from "../../client/ids.js";
import { LIVE, WIDGET_CALL } from "../../client/turns.js";
import { callResult } from "./bridge.js";

export class WidgetCalls {
  constructor(api) {
    this.api = api;
    this.waiting = new Map(); // id of a call's message -> {threadId, resolve}
  }

  /** Calls a tool for the widget of the call `callId`. Resolves to a result of the protocol; rejects if it is refused. */
  async call(threadId, callId, name, parameters) {
    const requestId = randomId();
    const ended = new Promise((resolve) => { this.waiting.set(WIDGET_CALL + requestId, { threadId, resolve }); });
    try {
      await this.api.callForWidget(threadId, { call_id: callId, name, arguments: parameters, request_id: requestId });
      return await ended;
    } finally {
      this.waiting.delete(WIDGET_CALL + requestId);
    }
  }

  /** Takes the state of a thread whenever it has changed. */
  take({ turns }) {
    for (const [messageId, call] of this.waiting) {
      const turn = turns.findLast((one) => one.messageId === messageId);
      if (turn && !LIVE.has(turn.status)) call.resolve(resultOf(turn));
    }
  }

  /** Another chat is opened: nobody waits for the calls of the others. */
  leave(threadId) {
    for (const call of this.waiting.values()) if (call.threadId !== threadId) call.resolve(callResult(null, "left", true));
  }
}

function resultOf({ steps, error, final }) {
  const call = steps.find(({ kind }) => kind === "tool");
  if (!call) return callResult(null, error?.message || final?.message || "", true);
  return callResult(call.result, call.summary, call.status !== "ok");
}
