/**
 * The user's open items over all threads: unanswered questions, runs, unread answers. Pure.
 *
 * The server's list is the truth (`received`); events between two readings are applied at once (`noted`). A question that
 * was answered stays among `settled`, with its outcome, until `tidied`.
 */

export const NOTHING_OPEN = Object.freeze({ needsYou: [], running: [], unread: [], unreadCount: 0, settled: [] });

const CLOSING = Object.freeze({ approval_decided: "call_id", question_answered: "question_id" });
const ENDS = new Set(["final_response", "error"]);
const NEWS = new Set([
  "message_accepted", "approval_required", "approval_decided", "question_asked", "question_answered", "final_response", "error", "thread_changed",
]);

/** The state after the server's list `body`. Questions that are open as before stay the same objects. */
export function received(before, body) {
  const known = new Map(before.needsYou.map((item) => [item.id, item]));
  const needsYou = body.needs_you.map((item) => ({ ...(known.get(item.id) ?? { deciding: null }), ...item }));
  return {
    needsYou: needsYou.map((item) => (same(item, known.get(item.id)) ? known.get(item.id) : item)),
    running: body.running, unread: body.unread, unreadCount: body.counts.unread,
    settled: [...before.settled.filter(({ id }) => !needsYou.some((item) => item.id === id)), ...gone(before.needsYou, needsYou, before.settled)],
  };
}

/** The state after an event of any thread, of the wire. */
export function noted(before, event) {
  const data = event.data ?? {};
  if (event.type === "answers_read" && data.threads) return seen(before, data.threads);
  if (CLOSING[event.type]) return settled(before, data[CLOSING[event.type]], data);
  if (event.type === "tool_executing") return doing(before, event.run_id, data.description || data.tool_name || "");
  if (!ENDS.has(event.type) || !event.run_id) return before;
  const over = before.needsYou.filter((item) => item.run_id === event.run_id);
  const after = over.reduce((state, item) => settled(state, item.id, {}), before);
  const running = after.running.filter((run) => run.run_id !== event.run_id);
  return running.length === after.running.length ? after : { ...after, running };
}

/** Whether the list is to be read again after an event. */
export function isNews(event) {
  if (event.type === "answers_read") return !event.data.threads; // all that were there when it was sent, not now
  return NEWS.has(event.type) && Boolean(event.run_id ?? event.thread_id);
}

/** The question with this id was answered, or is not asked any more; `outcome` is what its event says. */
export function settled(before, id, outcome) {
  const item = before.needsYou.find((one) => one.id === id);
  if (!item) return before;
  return { ...before, needsYou: before.needsYou.filter((one) => one !== item), settled: [...before.settled, { ...item, deciding: null, outcome }] };
}

/** A decision about a call is on its way ("allow", "deny"), or was refused (null). */
export function deciding(before, id, decision) {
  return { ...before, needsYou: before.needsYou.map((item) => (item.id === id && item.deciding !== decision ? { ...item, deciding: decision } : item)) };
}

/** The user has seen these threads up to a number each: {thread_id: seq}; null: all of them. */
export function seen(before, threads) {
  const unread = threads === null ? [] : before.unread.filter((one) => !(threads[one.thread_id] >= one.answered_seq));
  const unreadCount = threads === null ? 0 : before.unreadCount - (before.unread.length - unread.length);
  return unreadCount === before.unreadCount ? before : { ...before, unread, unreadCount };
}

/** Forgets the questions that were answered. */
export function tidied(before) {
  return before.settled.length === 0 ? before : { ...before, settled: [] };
}

/** Returns the number of items in each list. */
export function countsOf({ needsYou, running, unreadCount }) {
  return { needs_you: needsYou.length, running: running.length, unread: unreadCount };
}

/** Returns the number of items that wait for the user, as the title and the badges show it. */
export function waitingCount({ needsYou, unreadCount }) {
  return needsYou.length + unreadCount;
}

/** "needs_you", "running", "unread" or null: the mark of a thread in the list of chats. */
export function markOf({ needsYou, running, unread }, threadId) {
  const of = (list) => list.some((item) => item.thread_id === threadId);
  return of(needsYou) ? "needs_you" : of(running) ? "running" : of(unread) ? "unread" : null;
}

/** {thread_id: last_seq} of the threads whose runs have not ended. */
export function openThreads({ needsYou, running }) {
  return Object.fromEntries([...needsYou, ...running].map((item) => [item.thread_id, item.last_seq]));
}

/** Returns the new items of `after`: {needsYou, unread} of those that `before` did not have. */
export function newItems(before, after) {
  const asked = new Set([...before.needsYou, ...before.settled].map(({ id }) => id));
  const read = new Map(before.unread.map((one) => [one.thread_id, one.answered_seq]));
  return {
    needsYou: after.needsYou.filter(({ id }) => !asked.has(id)),
    unread: after.unread.filter((one) => one.answered_seq > (read.get(one.thread_id) ?? -1)),
  };
}

/** A consent as the step that `ApprovalView` shows. */
export function stepOf(item) {
  const { decision = null, note = "", parameters: changed = null, remember = false, door = "" } = item.outcome ?? {};
  return {
    callId: item.call_id, tool: item.tool_name, text: item.description, parameters: item.parameters,
    approval: {
      state: item.outcome ? "decided" : "open", parameters: item.parameters, schema: item.schema, expiresAt: item.expires_at * 1000,
      decision, note: note ?? "", changed, always: remember === true || door === "remembered", deciding: item.deciding,
    },
  };
}

/** A question as `QuestionView` shows it. */
export function questionOf(item) {
  const { outcome = null, answer = null } = item.outcome ?? {};
  return {
    id: item.question_id, callId: item.call_id, state: item.outcome ? "answered" : "open", title: item.question, text: item.text ?? "",
    schema: item.schema, choices: item.choices, signIn: item.sign_in, expiresAt: item.expires_at * 1000, outcome, answer,
  };
}

function doing(before, runId, words) {
  if (!before.running.some((run) => run.run_id === runId && run.doing !== words)) return before;
  return { ...before, running: before.running.map((run) => (run.run_id === runId ? { ...run, doing: words } : run)) };
}

function same(item, known) {
  return known !== undefined && item.title === known.title && item.last_seq === known.last_seq;
}

/** Questions that the server lists no more, and of which no event said why. */
function gone(before, after, known) {
  const left = (id) => after.some((item) => item.id === id) || known.some((item) => item.id === id);
  return before.filter(({ id }) => !left(id)).map((item) => ({ ...item, deciding: null, outcome: {} }));
}
