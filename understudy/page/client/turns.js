/** The shape of a turn: a message with one answer. */

import { EMPTY_STREAM } from "./stream.js";

/** A turn of which nothing is known but `fields`. */
export function newTurn(fields) {
  return {
    key: null, messageId: null, runId: null, parentId: null, again: false, content: "", references: [], agentType: null,
    pillar: null, sentAt: null, status: "waiting", startedAt: null, endedAt: null, steps: [], questions: [], steers: [], stream: EMPTY_STREAM,
    final: null, error: null, progress: null, stopping: false, ...fields,
  };
}
