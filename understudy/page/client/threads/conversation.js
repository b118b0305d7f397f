/**
 * A thread's whole screen as a function of its events: `reduce(state, event) -> state`, pure and total.
 *
 * Invariants: (1) a state is never changed, only replaced, and parts that did not change keep their identity;
 * (2) accepted turns stand in the order of the log, turns the server has not accepted yet stand after them;
 * (3) a turn has one `key` for ever, so an optimistic turn and its `message_accepted` are one turn;
 * (4) an event that is unknown, or names nothing known, changes nothing.
 *
 * A turn is a message with one answer: a message that is answered once more is another turn of the same `messageId`.
 * `branches.js` says which turns are shown. Events of the wire keep their names; what the page itself does is called
 * `local.…`.
 */

import { answerId, showing } from "./branches.js";
import { goneOn, withCutText, isPending, LIVE, newTurn } from "./turns.js";
import { directionOf, rowsOfResult, rowsOfSummary } from "./findings.js";
import { historyTurns, ratingsIn } from "./history_turns.js";
import { withOlder, withPage } from "./page_placement.js";
import { withPartial, appendPiece } from "./stream.js";

/** A thread of which nothing is known yet. */
export function emptyConversation(threadId) {
  return { threadId, seq: 0, turns: [], resync: null, leaf: null, cut: false, ratings: {} };
}

/** The state after one more event. A durable event at or before `state.seq` changes nothing. */
export function reduce(state, event) {
  if (Number.isInteger(event.seq) && event.seq <= state.seq) return state;
  const rule = Object.hasOwn(RULES, event.type) ? RULES[event.type] : null;
  const next = rule ? rule(state, event, event.data ?? {}) : state;
  return Number.isInteger(event.seq) ? { ...next, seq: event.seq } : next;
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

const byKey = (state, key) => (key ? state.turns.findLastIndex((turn) => turn.key === key) : -1);
const byRun = (state, id) => (id ? state.turns.findLastIndex((turn) => turn.runId === id || turn.earlier.includes(id)) : -1);

function placeAccepted(state, turn, instead = []) {
  const rest = state.turns.filter((other) => !instead.includes(other));
  const firstPending = rest.findIndex(isPending);
  const at = firstPending < 0 ? rest.length : firstPending;
  return { ...state, turns: [...rest.slice(0, at), turn, ...rest.slice(at)] };
}

/** The state in which another run goes on with a turn's answer; null where others follow that. */
function continued(state, event, data) {
  const index = byRun(state, data.continues);
  const { runId } = state.turns[index] ?? {};
  if (runId !== data.continues || state.turns.some(({ parentId }) => parentId === answerId(runId))) return null;
  return change(state, index, (turn) => goneOn(turn, data.run_id ?? event.run_id, when(event)));
}

function accepted(state, event, data) {
  const inPlace = data.continues ? continued(state, event, data) : null;
  if (inPlace) return inPlace;
  const runId = data.run_id ?? event.run_id;
  const again = Boolean(data.branch_of) && data.branch_of === data.message_id;
  const waiting = state.turns.find((turn) => (
    !data.continues && isPending(turn) && turn.messageId === data.message_id && turn.again === again
  )) ?? null;
  const known = state.turns[byRun(state, runId)] ?? waiting;
  // A turn without a time of sending was made by a passing event that came before this one: it has no question yet.
  if (known && known.runId === runId && known.messageId === data.message_id && known.sentAt !== null) return state;
  const turn = {
    ...(known ?? newTurn({ key: again ? `run:${runId}` : data.message_id })), ...(waiting && { key: waiting.key }), messageId: data.message_id, runId, again,
    content: data.content ?? waiting?.content ?? known?.content ?? "", references: data.references ?? waiting?.references ?? known?.references ?? [],
    agentType: event.agent_type ?? known?.agentType ?? null, pillar: event.agent_type ? event.pillar ?? null : known?.pillar ?? null,
    parentId: data.parent_id ?? (data.branch_of ? null : lastAnswer(state, known)),
    sentAt: when(event) ?? known?.sentAt ?? null, startedAt: when(event), error: null, progress: null,
    status: known && !isPending(known) ? known.status : "accepted", seq: event.seq ?? known?.seq ?? null,
  };
  const placed = placeAccepted(state, turn, [known, waiting]);
  const follows = state.leaf !== null && turn.parentId === answerId(state.turns[byKey(state, state.leaf)]?.runId);
  return follows ? showing(placed, turn) : placed;
}

/** The answer that a message follows when it does not say: that of the message accepted last, but for its own turn. */
function lastAnswer(state, own = null) {
  return answerId(state.turns.findLast((turn) => turn !== own && !isPending(turn))?.runId);
}

/** Applies `patch` to the event's turn; a run whose beginning is not in the log gets a turn without a question. */
function inRun(state, event, patch) {
  if (!event.run_id) return state;
  const index = byRun(state, event.run_id);
  if (index >= 0) return change(state, index, patch);
  const turn = newTurn({
    key: `run:${event.run_id}`, messageId: event.message_id ?? `run:${event.run_id}`, runId: event.run_id, status: "running",
    startedAt: when(event), agentType: event.agent_type ?? null, pillar: event.pillar ?? null, parentId: lastAnswer(state),
    seq: event.seq ?? null,
  });
  const placed = placeAccepted(state, turn);
  return change(placed, byRun(placed, event.run_id), patch);
}

/** Adds a step. One of no agent, an operator's act, does not say that a queued run works. */
function step(state, event, fields) {
  return inRun(state, event, (turn) => ({
    ...turn, ...(fields.agentId !== "" && { status: LIVE.has(turn.status) ? "running" : turn.status, progress: null }),
    steps: [...turn.steps, { key: `${fields.kind}:${event.seq ?? turn.steps.length}`, at: when(event, event.data), ...fields }],
  }));
}

function endStep(state, event, matches, fields) {
  return inRun(state, event, (turn) => {
    const index = turn.steps.findLastIndex((one) => one.status === "running" && matches(one));
    if (index < 0) return turn;
    const ended = settled({ ...turn.steps[index], endedAt: when(event, event.data), ...fields });
    return { ...turn, progress: null, steps: replaceAt(turn.steps, index, ended) };
  });
}

/** A step that has ended asks for nothing any more. */
function settled(step) {
  return step.approval?.state === "open" ? { ...step, approval: { ...step.approval, state: "over" } } : step;
}

/** Changes what the call with this id asks its user. */
function approval(state, event, data, patch) {
  return inRun(state, event, (turn) => {
    const index = turn.steps.findLastIndex((one) => one.callId === data.call_id);
    if (index < 0) return turn;
    const step = turn.steps[index];
    if (step.approval && Object.keys(patch).every((name) => step.approval[name] === patch[name])) return turn;
    return { ...turn, progress: null, steps: replaceAt(turn.steps, index, { ...step, approval: { ...step.approval, ...patch } }) };
  });
}

/** A question that the run asks its user is asked. */
function questionAsked(state, event, data) {
  return inRun(state, event, (turn) => (turn.questions.some(({ id }) => id === data.question_id) ? turn : {
    ...turn, progress: null, questions: [...turn.questions, {
      id: data.question_id, callId: data.call_id ?? null, state: "open", title: data.title ?? "", text: data.text ?? "", schema: data.schema ?? {},
      choices: Array.isArray(data.choices) ? data.choices : null, signIn: data.sign_in ?? null, expiresAt: data.expires_at * 1000, outcome: null, answer: null,
    }],
  }));
}

function questionAnswered(state, event, data) {
  return inRun(state, event, (turn) => {
    const index = turn.questions.findIndex(({ id }) => id === data.question_id);
    if (index < 0) return turn;
    const answered = { ...turn.questions[index], state: "answered", outcome: data.outcome, answer: data.answer ?? null };
    return { ...turn, progress: null, questions: replaceAt(turn.questions, index, answered) };
  });
}

/** The questions of a call that has ended, or all of a run, ask for nothing any more. */
function questionsOver(questions, callId = null) {
  const open = (one) => one.state === "open" && (callId === null || one.callId === callId);
  return questions.some(open) ? questions.map((one) => (open(one) ? { ...one, state: "over" } : one)) : questions;
}

function toolCompleted(state, event, data) {
  const ended = endStep(state, event, (one) => one.callId === data.call_id, {
    status: data.status ?? "ok", result: data.result, summary: data.result_summary ?? "", durationMs: data.duration_ms ?? null,
    ...(Array.isArray(data.files) && { files: data.files }),
    ...(data.widget && { widget: data.widget }),
    ...(Array.isArray(data.findings) && { found: rowsOfResult(data.findings) }),
    ...(data.undo_until > 0 && { undo: { state: "open", until: data.undo_until * 1000, reason: "" } }),
  });
  return inRun(ended, event, (turn) => {
    const questions = questionsOver(turn.questions, data.call_id);
    return questions === turn.questions ? turn : { ...turn, questions };
  });
}

/** A call that was cut off with its run is known to have taken effect, or not. */
function settledAfterwards(state, event, data) {
  const summary = data.effect === "done" ? data.result_summary ?? "" : event.message ?? "";
  const known = { summary, ...(data.effect === "done" && { status: "ok" }), ...(data.undo_until > 0 && { undo: { state: "open", until: data.undo_until * 1000, reason: "" } }) };
  return change(state, byRun(state, event.run_id), (turn) => ({
    ...turn, steps: turn.steps.map((one) => (one.callId === data.call_id && one.kind === "tool" ? { ...one, ...known } : one)),
  }));
}

/** Changes what the calls with these ids say of their undo. */
function undoing(state, event, callIds, patch) {
  const named = new Set(Array.isArray(callIds) ? callIds : []);
  return change(state, byRun(state, event.run_id), (turn) => (turn.steps.some((one) => one.undo && named.has(one.callId)) ? {
    ...turn, steps: turn.steps.map((one) => (one.undo && named.has(one.callId) ? { ...one, undo: { ...one.undo, ...patch } } : one)),
  } : turn));
}

function closeTurn(turn, event, fields) {
  const endedAt = when(event, event.data);
  const steps = turn.steps.some((one) => one.status === "running")
    ? turn.steps.map((one) => (one.status === "running" ? settled({ ...one, status: "cancelled", endedAt }) : one))
    : turn.steps;
  return { ...turn, steps, questions: questionsOver(turn.questions), endedAt, progress: null, stopping: false, ...fields };
}

function finished(state, event, data) {
  const rest = data.data ?? {};
  const final = {
    message: data.message ?? event.message ?? "", data: Object.keys(rest).length > 0 ? rest : null,
    visualization: data.visualization ?? null, usage: data.usage ?? null, at: when(event, data),
  };
  const status = data.status === "success" || data.status === undefined ? "done" : data.status;
  return inRun(state, event, (turn) => closeTurn(turn, event, { status, final, error: null }));
}

function failed(state, event, data) {
  const error = {
    code: data.code, message: data.message || event.message || "", errorId: data.error_id ?? null,
    retryable: Boolean(data.retryable), retryAfter: data.retry_after ?? null,
  };
  if (event.run_id) {
    const status = data.code === "run_cancelled" ? "cancelled" : "failed";
    return inRun(state, event, (turn) => closeTurn(turn, event, { status, error }));
  }
  const index = byKey(state, event.message_id ?? data.message_id);
  return index >= 0 && isPending(state.turns[index]) ? change(state, index, { status: "rejected", error }) : state;
}

function queued(state, event, data) {
  const again = data.kind === "regenerate";
  const of = data.of ? state.turns.find((turn) => turn.messageId === data.of) ?? null : null;
  if (byKey(state, data.key) >= 0) return state;
  const turn = newTurn({
    key: data.key, messageId: again ? data.of : data.key, again, sentAt: data.at ?? null,
    content: data.content ?? of?.content ?? "", references: data.references ?? of?.references ?? [],
    agentType: data.agent_type ?? of?.agentType ?? null, pillar: data.pillar ?? of?.pillar ?? null,
    parentId: of ? of.parentId : data.parent_id ?? undefined, ...(data.settings?.tool && { call: { settings: data.settings, context: data.context } }),
  });
  return { ...state, turns: [...state.turns, turn], leaf: null };
}

/** Of a run, or, without one, of a message that is sent and not accepted. */
function progressed(state, event, data) {
  const progress = { done: data.done, total: data.total ?? null, note: data.note ?? "" };
  if (!event.run_id) {
    return change(state, byKey(state, event.message_id), (turn) => (turn.status === "sent" ? { ...turn, progress } : turn));
  }
  return inRun(state, event, (turn) => (LIVE.has(turn.status) ? { ...turn, progress } : turn));
}

function delivery(status) {
  return (state, event, data) => change(state, byKey(state, data.key), (turn) => (
    isPending(turn) && turn.status !== status ? { ...turn, status, error: null, progress: null } : turn
  ));
}

function withdrawn(state, event, data) {
  const turns = state.turns.filter((turn) => !(turn.key === data.key && isPending(turn)));
  return turns.length === state.turns.length ? state : { ...state, turns };
}

/** The history of a thread whose log no longer reaches back: finished turns, then what was not accepted yet. */
function history(state, event, data) {
  const turns = historyTurns(data.messages);
  const known = new Set(turns.map((turn) => turn.key));
  const pending = state.turns.filter((turn) => isPending(turn) && !known.has(turn.key));
  return { ...state, seq: data.last_seq, resync: null, cut: false, leaf: null, ratings: ratingsIn(data.messages), turns: [...turns, ...pending] };
}

/** Thumbs on an answer; null takes them back. */
function rated(state, event, { message_id: answer, rating = null }) {
  if ((state.ratings[answer] ?? null) === rating) return state;
  const { [answer]: before, ...rest } = state.ratings;
  return { ...state, ratings: rating === null ? rest : { ...rest, [answer]: rating } };
}

/** A message to the run at work: shown as it is sent, then as the server has accepted it. */
function steered(state, event, data, status) {
  return inRun(state, event, (turn) => {
    const known = turn.steers.findIndex(({ id }) => id === data.steer_id);
    const steer = { id: data.steer_id, runId: turn.runId, content: data.content ?? "", mode: data.mode ?? "next", state: status, by: data.by };
    return { ...turn, steers: known < 0 ? [...turn.steers, steer] : replaceAt(turn.steers, known, { ...turn.steers[known], ...steer }) };
  });
}

/** The agent has read it: it stands among the steps where that happened. */
function steerTaken(state, event, data) {
  const { content = "", by } = state.turns[byRun(state, event.run_id)]?.steers.find(({ id }) => id === data.steer_id) ?? {};
  const placed = step(state, event, { kind: "steer", key: `steer:${data.steer_id}`, text: content, ...(by && { by }) });
  return inRun(placed, event, (turn) => ({
    ...turn, steers: turn.steers.map((one) => (one.id === data.steer_id ? { ...one, state: "taken" } : one)),
  }));
}

/** It was taken back, refused, or is a message of its own now. */
function steerGone(state, event, data) {
  return inRun(state, event, (turn) => ({ ...turn, steers: turn.steers.filter(({ id }) => id !== data.steer_id) }));
}

/** Adds findings: those in a tool's result to its call, others as a step of their own. */
function sanitized(state, event, data) {
  const found = rowsOfSummary(data);
  const of = data.call_id ? state.turns[byRun(state, event.run_id)]?.steps.findLastIndex((one) => one.callId === data.call_id) ?? -1 : -1;
  if (of < 0) return step(state, event, { kind: "sanitized", direction: directionOf(data.direction), found });
  return inRun(state, event, (turn) => ({ ...turn, steps: replaceAt(turn.steps, of, { ...turn.steps[of], found }) }));
}

const RULES = Object.freeze({
  message_accepted: accepted,
  agent_started: (state, event, data) => step(state, event, {
    kind: "agent", status: "running", agentId: data.agent_id, agentType: event.agent_type ?? null,
    pillar: event.pillar ?? null, text: data.message ?? "",
  }),
  agent_thinking: (state, event, data) => step(state, event, {
    kind: data.notice ? "notice" : "thinking", agentId: data.agent_id, text: data.thought ?? "",
    ...(data.notice && { notice: data.notice }), ...(data.by && { by: data.by }), ...(data.reason && { reason: data.reason }),
  }),
  agent_handoff: (state, event, data) => step(state, event, { kind: "handoff", from: data.from ?? "", to: data.to ?? "", text: data.reason ?? "" }),
  tool_executing: (state, event, data) => step(state, event, {
    kind: "tool", key: `tool:${data.call_id}`, status: "running", agentId: data.agent_id, callId: data.call_id, tool: data.tool_name,
    parameters: data.parameters ?? {}, text: data.description ?? "",
  }),
  subagent_started: (state, event, data) => step(state, event, {
    kind: "subagent", key: `subagent:${data.agent_id}`, status: "running", agentId: data.agent_id, parent: data.call_id,
    name: data.agent ?? "", text: data.message ?? "",
  }),
  subagent_completed: (state, event, data) => endStep(state, event, (one) => one.kind === "subagent" && one.agentId === data.agent_id, {
    status: data.status ?? "success", usage: data.usage ?? null,
  }),
  tool_completed: toolCompleted,
  call_settled: settledAfterwards,
  undo_started: (state, event, data) => undoing(state, event, data.call_ids, { state: "doing", reason: "" }),
  call_undone: (state, event, data) => undoing(
    undoing(state, event, [data.call_id], { state: data.status === "ok" ? "undone" : "failed", reason: data.reason ?? "" }),
    event, data.kept, { state: "open" },
  ),
  question_asked: questionAsked,
  question_answered: questionAnswered,
  approval_required: (state, event, data) => approval(state, event, data, {
    state: "open", parameters: data.parameters ?? {}, schema: data.schema ?? null, expiresAt: data.expires_at * 1000, decision: null, note: "", deciding: null,
  }),
  approval_decided: (state, event, data) => approval(state, event, data, {
    state: "decided", decision: data.decision, note: data.note ?? "", deciding: null,
    changed: data.parameters ?? null, always: data.remember === true || data.door === "remembered",
  }),
  steer_accepted: (state, event, data) => steered(state, event, data, "waiting"),
  steer_taken: steerTaken,
  steer_withdrawn: steerGone,
  feedback: rated,
  agent_completed: (state, event, data) => inRun(endStep(state, event, (one) => one.kind === "agent" && one.agentId === data.agent_id, {
    status: data.status ?? "success", usage: data.usage ?? null,
  }), event, (turn) => withCutText(turn, data)),
  agent_progress: progressed,
  tool_partial: (state, event, data) => inRun(state, event, (turn) => withPartial(turn, data)),
  partial_result: (state, event, data) => inRun(state, event, (turn) => {
    if (!LIVE.has(turn.status)) return turn;
    const stream = appendPiece(turn.stream, data);
    return stream === turn.stream ? turn : { ...turn, status: "running", stream, progress: null };
  }),
  sanitization_summary: sanitized,
  final_response: finished,
  error: failed, // an agent_error is followed by the error that ends its run
  resync: (state, event, data) => ({ ...state, resync: data.last_seq ?? 0 }),
  "local.steering": (state, event, data) => steered(state, event, data, "sending"),
  "local.steering-refused": steerGone,
  "local.said": queued,
  "local.waiting": delivery("waiting"),
  "local.sent": delivery("sent"),
  "local.rejected": (state, event, data) => failed(state, { ...event, message_id: data.key }, data),
  "local.continuing": (state, event, data) => change(state, byKey(state, data.key), { continuing: data.on !== false }),
  "local.stopping": (state, event, data) => change(state, byKey(state, data.key), (turn) => (
    LIVE.has(turn.status) && !turn.stopping ? { ...turn, stopping: true } : turn
  )),
  "local.withdrawn": withdrawn,
  "local.history": history,
  "local.page": (state, event, page) => withPage(state, page),
  "local.older": (state, event, page) => withOlder(state, page),
  "local.steps": (state, event, { key, steps }) => change(state, byKey(state, key), { steps, omitted: false }),
  "local.ratings": (state, event, data) => ({ ...state, ratings: data.ratings }),
  "local.feedback": rated,
  "local.deciding": (state, event, data) => approval(state, event, data, { deciding: data.decision }),
  "local.picked": (state, event, data) => {
    const turn = state.turns[byKey(state, data.key)];
    const shown = turn ? showing(state, turn) : state;
    return shown.leaf === state.leaf ? state : shown;
  },
});
