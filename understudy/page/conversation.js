/**
 * A thread's whole screen as a function of its events: `reduce(state, event) -> state`, pure and total.
 *
 * Invariants: (1) a state is never changed, only replaced, and parts that did not change keep their identity;
 * (2) accepted turns stand in the order of the log, turns the server has not accepted yet stand after them;
 * (3) a turn has one `messageId` for ever, so an optimistic turn and its `message_accepted` are one turn;
 * (4) an event that is unknown, or names nothing known, changes nothing.
 *
 * Events of the wire keep their names; what the page itself does is called `local.…`.
 */

import { appendPiece, EMPTY_STREAM } from "./stream.js";

/** Turn statuses in which the user still waits for something. */
export const LIVE = new Set(["waiting", "sent", "accepted", "running"]);

/** A thread of which nothing is known yet. */
export function emptyConversation(threadId) {
  return { threadId, seq: 0, turns: [], resync: null };
}

function newTurn(fields) {
  return {
    messageId: null, runId: null, content: "", references: [], agentType: null, pillar: null, sentAt: null,
    status: "waiting", startedAt: null, endedAt: null, steps: [], stream: EMPTY_STREAM,
    final: null, error: null, progress: null, stopping: false, ...fields,
  };
}

/** The state after one more event. A durable event at or before `state.seq` changes nothing. */
export function reduce(state, event) {
  if (Number.isInteger(event.seq) && event.seq <= state.seq) return state;
  const rule = Object.hasOwn(RULES, event.type) ? RULES[event.type] : null;
  const next = rule ? rule(state, event, event.data ?? {}) : state;
  return Number.isInteger(event.seq) ? { ...next, seq: event.seq } : next;
}

/** The last turn that is still being worked on, or null. */
export function liveTurn(state) {
  return state.turns.findLast((turn) => LIVE.has(turn.status)) ?? null;
}

/** The last turn that the server may be working on, and that can be stopped, or null. */
export function runningTurn(state) {
  return state.turns.findLast((turn) => LIVE.has(turn.status) && turn.status !== "waiting") ?? null;
}

/** True when a piece of streamed text is missing, so that the thread must be resumed. */
export function hasHole(state) {
  return state.turns.some((turn) => turn.stream.hole && LIVE.has(turn.status));
}

/** What to call the thread before the server has given it a title. */
export function provisionalTitle(state) {
  const content = state.turns[0]?.content.trim().split("\n")[0] ?? "";
  return content.length > 60 ? `${content.slice(0, 59).trimEnd()}…` : content;
}

function when(event, data) {
  if (typeof data?.timestamp === "number") return data.timestamp * 1000;
  const parsed = Date.parse(event.timestamp ?? "");
  return Number.isNaN(parsed) ? null : parsed;
}

function replaceAt(list, index, value) {
  const copy = list.slice();
  copy[index] = value;
  return copy;
}

function change(state, index, patch) {
  if (index < 0) return state;
  const turn = state.turns[index];
  const changed = typeof patch === "function" ? patch(turn) : { ...turn, ...patch };
  return changed === turn ? state : { ...state, turns: replaceAt(state.turns, index, changed) };
}

const byMessage = (state, id) => (id ? state.turns.findLastIndex((turn) => turn.messageId === id) : -1);
const byRun = (state, id) => (id ? state.turns.findLastIndex((turn) => turn.runId === id) : -1);
const isPending = (turn) => turn.status === "waiting" || turn.status === "sent" || turn.status === "rejected";

function placeAccepted(state, turn, instead = null) {
  const rest = state.turns.filter((other) => other !== instead);
  const firstPending = rest.findIndex(isPending);
  const at = firstPending < 0 ? rest.length : firstPending;
  return { ...state, turns: [...rest.slice(0, at), turn, ...rest.slice(at)] };
}

function accepted(state, event, data) {
  const runId = data.run_id ?? event.run_id;
  const known = state.turns[byMessage(state, data.message_id)] ?? state.turns[byRun(state, runId)] ?? null;
  if (known && known.runId === runId && known.messageId === data.message_id) return state;
  const turn = {
    ...(known ?? newTurn({})), messageId: data.message_id, runId, content: data.content ?? known?.content ?? "",
    references: data.references ?? known?.references ?? [], agentType: event.agent_type ?? known?.agentType ?? null,
    pillar: event.agent_type ? event.pillar ?? null : known?.pillar ?? null,
    sentAt: when(event) ?? known?.sentAt ?? null, startedAt: when(event), error: null,
    status: known && !isPending(known) ? known.status : "accepted",
  };
  return placeAccepted(state, turn, known);
}

/** Applies `patch` to the event's turn; a run whose beginning is not in the log gets a turn without a question. */
function inRun(state, event, patch) {
  if (!event.run_id) return state;
  const index = byRun(state, event.run_id);
  if (index >= 0) return change(state, index, patch);
  const turn = newTurn({
    messageId: `run:${event.run_id}`, runId: event.run_id, status: "running", startedAt: when(event),
    agentType: event.agent_type ?? null, pillar: event.pillar ?? null,
  });
  const placed = placeAccepted(state, turn);
  return change(placed, byRun(placed, event.run_id), patch);
}

function step(state, event, fields) {
  return inRun(state, event, (turn) => ({
    ...turn, status: LIVE.has(turn.status) ? "running" : turn.status, progress: null,
    steps: [...turn.steps, { key: `${fields.kind}:${event.seq ?? turn.steps.length}`, at: when(event, event.data), ...fields }],
  }));
}

function endStep(state, event, matches, fields) {
  return inRun(state, event, (turn) => {
    const index = turn.steps.findLastIndex((one) => one.status === "running" && matches(one));
    if (index < 0) return turn;
    const ended = { ...turn.steps[index], endedAt: when(event, event.data), ...fields };
    return { ...turn, progress: null, steps: replaceAt(turn.steps, index, ended) };
  });
}

function closeTurn(turn, event, fields) {
  const endedAt = when(event, event.data);
  const steps = turn.steps.some((one) => one.status === "running")
    ? turn.steps.map((one) => (one.status === "running" ? { ...one, status: "cancelled", endedAt } : one))
    : turn.steps;
  return { ...turn, steps, endedAt, progress: null, stopping: false, ...fields };
}

function finished(state, event, data) {
  const { html = null, ...rest } = data.data ?? {};
  const final = {
    message: data.message ?? event.message ?? "", html, data: Object.keys(rest).length > 0 ? rest : null,
    visualization: data.visualization ?? null, usage: data.usage ?? null, at: when(event, data),
  };
  const status = data.status === "success" || data.status === undefined ? "done" : data.status;
  return inRun(state, event, (turn) => closeTurn(turn, event, { status, final, error: null }));
}

function failed(state, event, data) {
  const error = {
    code: data.code, message: data.message || event.message || "Something went wrong.", errorId: data.error_id ?? null,
    retryable: Boolean(data.retryable), retryAfter: data.retry_after ?? null,
  };
  if (event.run_id) {
    const status = data.code === "run_cancelled" ? "cancelled" : "failed";
    return inRun(state, event, (turn) => closeTurn(turn, event, { status, error }));
  }
  const index = byMessage(state, event.message_id ?? data.message_id);
  return index >= 0 && isPending(state.turns[index]) ? change(state, index, { status: "rejected", error }) : state;
}

function said(state, event, data) {
  if (byMessage(state, data.message_id) >= 0) return state;
  return { ...state, turns: [...state.turns, newTurn({
    messageId: data.message_id, content: data.content, references: data.references ?? [], sentAt: data.at ?? null,
    agentType: data.agent_type ?? null, pillar: data.pillar ?? null, status: "waiting",
  })] };
}

function delivery(status) {
  return (state, event, data) => change(state, byMessage(state, data.message_id), (turn) => (
    isPending(turn) && turn.status !== status ? { ...turn, status, error: null } : turn
  ));
}

function withdrawn(state, event, data) {
  const turns = state.turns.filter((turn) => !(turn.messageId === data.message_id && isPending(turn)));
  return turns.length === state.turns.length ? state : { ...state, turns };
}

/** The history of a thread whose log no longer reaches back: finished turns, then what was not accepted yet. */
function history(state, event, data) {
  const turns = [];
  for (const message of data.messages) {
    if (message.role === "user") {
      turns.push(newTurn({
        messageId: message.id, runId: message.run_id, content: message.content, references: message.references ?? [],
        agentType: message.agent_type, pillar: message.pillar, sentAt: Date.parse(message.created_at), status: "done",
      }));
    } else if (message.role === "assistant") {
      const index = turns.findLastIndex((turn) => turn.runId === message.run_id && turn.final === null);
      const final = {
        message: message.content, html: message.html ?? null, data: null, usage: null,
        visualization: message.visualization ?? null, at: Date.parse(message.created_at),
      };
      const answered = { final, status: message.status === "cancelled" ? "cancelled" : "done" };
      if (index >= 0) turns[index] = { ...turns[index], ...answered };
      else turns.push(newTurn({ messageId: message.id, runId: message.run_id, ...answered }));
    }
  }
  const known = new Set(turns.map((turn) => turn.messageId));
  const pending = state.turns.filter((turn) => isPending(turn) && !known.has(turn.messageId));
  return { ...state, seq: data.last_seq, resync: null, turns: [...turns, ...pending] };
}

const RULES = Object.freeze({
  message_accepted: accepted,
  agent_started: (state, event, data) => step(state, event, {
    kind: "agent", status: "running", agentId: data.agent_id, agentType: event.agent_type ?? null,
    pillar: event.pillar ?? null, text: data.message ?? "",
  }),
  agent_thinking: (state, event, data) => step(state, event, { kind: "thinking", text: data.thought ?? "" }),
  agent_handoff: (state, event, data) => step(state, event, {
    kind: "handoff", from: data.from ?? "", to: data.to ?? "", text: data.reason ?? "",
  }),
  tool_executing: (state, event, data) => step(state, event, {
    kind: "tool", key: `tool:${data.call_id}`, status: "running", callId: data.call_id, tool: data.tool_name,
    parameters: data.parameters ?? {}, text: data.description ?? "",
  }),
  tool_completed: (state, event, data) => endStep(state, event, (one) => one.callId === data.call_id, {
    status: data.status ?? "ok", result: data.result, summary: data.result_summary ?? "", durationMs: data.duration_ms ?? null,
  }),
  agent_completed: (state, event, data) => endStep(state, event, (one) => one.agentId === data.agent_id, {
    status: data.status ?? "success", usage: data.usage ?? null,
  }),
  agent_progress: (state, event, data) => inRun(state, event, (turn) => (
    LIVE.has(turn.status) ? { ...turn, progress: { done: data.done, total: data.total ?? null, note: data.note ?? "" } } : turn
  )),
  partial_result: (state, event, data) => inRun(state, event, (turn) => {
    if (!LIVE.has(turn.status)) return turn;
    const stream = appendPiece(turn.stream, data);
    return stream === turn.stream ? turn : { ...turn, status: "running", stream, progress: null };
  }),
  sanitization_summary: (state, event, data) => step(state, event, {
    kind: "sanitized", direction: data.direction ?? "output", counts: data.counts ?? {},
  }),
  final_response: finished,
  error: failed,
  agent_error: failed,
  resync: (state, event, data) => ({ ...state, resync: data.last_seq ?? 0 }),
  "local.said": said,
  "local.waiting": delivery("waiting"),
  "local.sent": delivery("sent"),
  "local.rejected": (state, event, data) => failed(state, { ...event, message_id: data.message_id }, data),
  "local.stopping": (state, event, data) => change(state, byMessage(state, data.message_id), (turn) => (
    LIVE.has(turn.status) ? { ...turn, stopping: true } : turn
  )),
  "local.withdrawn": withdrawn,
  "local.history": history,
});
