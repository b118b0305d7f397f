/**
 * Pages of a thread's branch, as `GET /api/threads/{id}/turns` gives them, as turns. Pure.
 *
 * A turn is folded from the events of its run by the rules of live ones, so that it looks as it did. The turns beside a
 * branch come by name alone: such a turn is a `stub`, and its branch is read when it is picked.
 */

import { answerId } from "./branches.js";
import { emptyConversation, reduce } from "./conversation.js";
import { moment } from "../format.js";
import { keptData, ratingsIn } from "./history_turns.js";
import { inOrder } from "./page_placement.js";
import { cutStream, EMPTY_STREAM } from "./stream.js";
import { LIVE, newTurn } from "./turns.js";

const ENDS = Object.freeze({ success: "done", cancelled: "cancelled", failed: "failed", interrupted: "failed" });

/**
 * A page as `page_placement.js` takes it. `missed` are durable events that came while the page was under way: those after it
 * are applied to its turns. `compact`: its steps take little room, as thousands of turns may be held. `until`: events after
 * this number are left out, as they will come.
 */
export function readPage(threadId, page, missed = [], { compact = false, until = Infinity } = {}) {
  const after = missed.filter(({ seq }) => seq > page.seq);
  const whole = page.turns.map((turn) => {
    const runs = new Set([turn.run, ...turn.earlier ?? []].map(({ run_id: runId }) => runId));
    const read = turnOf(threadId, { ...turn, events: turn.events.filter(({ seq }) => seq <= until) }, after.filter(({ run_id: runId }) => runs.has(runId)));
    return compact ? compacted(read) : read;
  });
  if (page.older === null) closeBeginning(whole, page.tip);
  const turns = [...page.others.map(stubOf), ...whole].sort(inOrder);
  const answers = page.turns.map(({ answer }) => answer).filter(Boolean);
  return { title: page.title ?? null, seq: page.seq, turns, tip: page.tip, ratings: ratingsIn(answers), answers: answers.map(({ id }) => id) };
}

/** The steps of a run that has ended, by all of its events. */
export function stepsOf(threadId, turn, events) {
  return fold(threadId, { ...turn, runId: turn.earlier[0] ?? turn.runId, earlier: [], steps: [], questions: [], final: null, error: null, status: "accepted" }, events).steps;
}

function turnOf(threadId, { message, run, first_seq: seq, again, answer, events, earlier = [] }, missed) {
  const first = earlier[0]?.run_id ?? run.run_id;
  const cut = earlier.flatMap(({ run_id: runId, events: own }) => own.map((event) => ({ ...event, run_id: runId })));
  const turn = fold(threadId, newTurn({
    key: again ? `run:${first}` : message.id, messageId: message.id, runId: first, again, seq, status: "accepted",
    content: message.content, references: message.references ?? [], agentType: message.agent_type, pillar: message.pillar ?? null,
    startedAt: moment(run.started_at),
  }), [...cut, ...events.map((event) => ({ ...event, run_id: run.run_id })), ...missed]);
  const omitted = new Set([...cut, ...events].filter((event) => event.omitted).map((event) => event.data?.call_id));
  const told = events.length > 0;
  return {
    ...turn, seq, again, parentId: message.parent_id ?? null, sentAt: turn.sentAt ?? moment(message.created_at), omitted: omitted.size > 0,
    steps: omitted.size > 0 ? turn.steps.map((step) => (step.kind === "tool" && omitted.has(step.callId) ? { ...step, omitted: true } : step)) : turn.steps,
    final: finalOf(turn, answer, told), ...(!told && trimmed(run)), ...cutText(answer, run),
  };
}

const shared = new Map(); // what a compact step or a list of them shows -> that, of which there are few
const MOST_SHARED = 1_000;
const NONE = Object.freeze([]);

/**
 * A turn that takes little room. If its steps can be read whole again, those that went as usual are one object for all that
 * look the same: enough for a folded turn.
 */
function compacted(turn) {
  if (!turn.omitted || LIVE.has(turn.status) || turn.questions.length > 0) return turn;
  const steps = turn.steps.every(isUsual) ? once(JSON.stringify(turn.steps.map(nameOf)), () => Object.freeze(turn.steps.map(compactStep)))
    : turn.steps.map((step) => (isUsual(step) ? compactStep(step) : step));
  const lists = ["references", "questions", "steers", "earlier"].filter((name) => turn[name].length === 0);
  return { ...turn, steps, final: compactFinal(turn.final), ...Object.fromEntries(lists.map((name) => [name, NONE])) };
}

function compactFinal(final) {
  if (final === null) return null;
  const usage = final.usage && once(JSON.stringify(final.usage), () => Object.freeze(final.usage));
  return { ...final, usage };
}

function isUsual({ kind, approval, undo, files, found }) {
  return (kind === "tool" || kind === "agent" || kind === "thinking") && !approval && !undo && !files && !found;
}

const nameOf = ({ kind, status, tool, agentType, pillar }) => [kind, status, tool, agentType, pillar];

function compactStep(step) {
  const { kind, status, tool, agentType, pillar } = step;
  const key = JSON.stringify(nameOf(step));
  return once(key, () => Object.freeze({ kind, key, status, tool, agentType, pillar, text: "", summary: "", parameters: {}, omitted: true, compact: true }));
}

/** The one value of this name. */
function once(name, make) {
  if (!shared.has(name)) {
    const made = make();
    if (shared.size >= MOST_SHARED) shared.clear();
    shared.set(name, made);
  }
  return shared.get(name);
}

/** The turn after these events of its run. */
function fold(threadId, turn, events) {
  const state = events.reduce(
    (before, event) => reduce(before, { run_id: turn.runId, ...event, thread_id: threadId, data: event.data ?? {} }),
    { ...emptyConversation(threadId), turns: [turn] },
  );
  return state.turns[0];
}

/** The answer, whose text stands in its message alone. A run whose log does not say so has not answered yet. */
function finalOf({ final }, answer, told) {
  if (answer === null || (told && final === null)) return final;
  return {
    usage: null, data: keptData(answer), visualization: answer.visualization ?? null, at: moment(answer.created_at), ...final,
    message: final?.message || answer.content,
  };
}

/** The text of an answer that ended in an error, which is no final one. */
function cutText(answer, { status }) {
  if (answer === null || ENDS[status] !== "failed") return null;
  return { final: null, stream: cutStream(EMPTY_STREAM, answer.content) };
}

/** Returns the end of a run whose events the log has no more. */
function trimmed({ status, ended_at: endedAt }) {
  const end = ENDS[status] ?? "accepted";
  return {
    status: end, endedAt: endedAt === null ? null : moment(endedAt),
    error: end === "failed" ? { code: "internal", message: "", errorId: null, retryable: false, retryAfter: null } : null,
  };
}

function stubOf({ message_id: messageId, run_id: runId, parent_id: parentId, first_seq: seq, again, status }) {
  return newTurn({ key: again ? `run:${runId}` : messageId, messageId, runId, parentId, seq, again, status: ENDS[status] ?? "done", stub: true });
}

/** The first turn of a branch that begins the thread follows nothing, even if it names an answer that is gone. */
function closeBeginning(turns, tip) {
  const byAnswer = new Map(turns.map((turn, index) => [answerId(turn.runId), index]));
  let at = byAnswer.get(answerId(tip));
  for (let steps = turns.length; at !== undefined && steps > 0; steps -= 1) {
    const parent = byAnswer.get(turns[at].parentId);
    if (parent === undefined) turns[at] = { ...turns[at], parentId: null };
    at = parent;
  }
}
