/** Turns whose answer was cut: what is kept of it, and how another run goes on with it. Pure. */

import { cutStream } from "./stream.js";

/** A turn with which the run `runId` goes on since `at` (ms): it stays where it is, and its text grows. */
export function goneOn(turn, runId, at) {
  const { message = "" } = turn.final ?? {};
  const stream = message === "" ? turn.stream : cutStream(turn.stream, message);
  return {
    ...turn, runId, earlier: [...turn.earlier, turn.runId], status: "accepted", startedAt: at, endedAt: null, stream, final: null,
    error: null, progress: null, stopping: false, continuing: false, steps: [...turn.steps, { kind: "continued", key: `continued:${runId}`, at }],
  };
}

/** A turn with the text of an agent that was cut off: it is in the agent's result, as no answer follows. */
export function withCutText(turn, { status, result }) {
  const cut = (status === "failed" || status === "interrupted") && result;
  return cut ? { ...turn, stream: cutStream(turn.stream, result) } : turn;
}
