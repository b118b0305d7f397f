/** The shape of a turn, a message with one answer, and what can be asked of the turns of a state. */

import { visible } from "./branches.js";
import { EMPTY_STREAM, cutStream } from "./stream.js";

/** Turn statuses in which the user still waits for something. */
export const LIVE = new Set(["waiting", "sent", "accepted", "running"]);

/** The beginning of the ids of messages that stand for a call of a widget. */
export const WIDGET_CALL = "widget-";

/** Whether a turn is a call that a widget has asked for. */
export const isWidgetCall = ({ messageId }) => messageId?.startsWith(WIDGET_CALL) ?? false;

/** Whether the server has not accepted a turn's message. */
export const isPending = (turn) => turn.status === "waiting" || turn.status === "sent" || turn.status === "rejected";

/** A turn of which nothing is known but `fields`. */
export function newTurn(fields) {
  return {
    key: null, messageId: null, runId: null, parentId: null, again: false, content: "", references: [], agentType: null,
    pillar: null, sentAt: null, status: "waiting", startedAt: null, endedAt: null, steps: [], questions: [], steers: [], stream: EMPTY_STREAM,
    final: null, error: null, progress: null, stopping: false, earlier: [], continuing: false, ...fields,
  };
}

/** Whether an answer was cut, so that it can be gone on with: its run failed, was stopped, or reached a limit. */
export function isCut({ status, final, runId, steps }) {
  if (runId === null || steps.some((step) => step.undo?.state === "undone")) return false;
  return status === "failed" || status === "cancelled" || Boolean(final?.data?.budget || final?.data?.cut);
}

/** The last turn that is still being worked on, or null. */
export function liveTurn(state) {
  return state.turns.findLast((turn) => LIVE.has(turn.status)) ?? null;
}

/** The turn that is stopped if its user says so, or null: the first one shown that the server works on, others wait behind it. */
export function runningTurn(state) {
  const stoppable = (turn) => LIVE.has(turn.status) && turn.status !== "waiting";
  return visible(state).find(stoppable) ?? state.turns.find(stoppable) ?? null;
}

/** The turn that is at work and can be steered, or null. */
export function steerableTurn(state) {
  return state.turns.find((turn) => turn.status === "running" && turn.runId && !turn.stopping) ?? null;
}

/** True when a piece of streamed text is missing, so that the thread must be resumed. */
export function hasHole(state) {
  return state.turns.some((turn) => turn.stream.hole && LIVE.has(turn.status));
}

/** Returns the thread's title until the list has given one. */
export function provisionalTitle(state) {
  if (state.title) return state.title;
  const content = state.turns[0]?.content.trim().split("\n")[0] ?? "";
  return content.length > 60 ? `${content.slice(0, 59).trimEnd()}…` : content;
}

// Turns whose answer was cut: what is kept of it, and how another run goes on with it.

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
