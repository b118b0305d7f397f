import assert from "node:assert/strict";
import { test } from "node:test";

import { historyTurns } from "../../understudy/page/client/threads/history_turns.js";
import { emptyConversation, reduce } from "../../understudy/page/client/threads/conversation.js";
import { beside, visible } from "../../understudy/page/client/threads/branches.js";
import { hasHole, isCut, liveTurn, provisionalTitle, runningTurn } from "../../understudy/page/client/threads/turns.js";

const AT = 1_795_154_400;
const iso = (seconds) => new Date(seconds * 1000).toISOString();

function event(seq, type, data, more = {}) {
  const at = AT + seq;
  return {
    type, seq, thread_id: "t", run_id: "r1", agent_type: "guide", pillar: null, timestamp: iso(at), message: "",
    data: { timestamp: at, ...data }, ...more,
  };
}

const play = (...events) => events.reduce(reduce, emptyConversation("t"));
const accepted = (seq, id = "m1", run = "r1") => event(seq, "message_accepted", { message_id: id, run_id: run, content: `say ${id}` }, { run_id: run });
const said = (id) => ({ type: "local.said", thread_id: "t", data: { key: id, kind: "say", content: `say ${id}`, at: 5 } });
const ARC = [
  accepted(1),
  event(2, "agent_started", { agent_id: "guide-1", message: "Guide takes this" }),
  event(3, "agent_thinking", { agent_id: "guide-1", thought: "Look at the table" }),
  event(4, "tool_executing", { agent_id: "guide-1", call_id: "c1", tool_name: "query_table", parameters: { sql: "select 1" }, description: "Counting rows" }),
  event(5, "tool_completed", { agent_id: "guide-1", call_id: "c1", tool_name: "query_table", result: [1], result_summary: "1 row", status: "ok", duration_ms: 12.5 }),
  event(6, "sanitization_summary", { direction: "outbound", counts: { secret: 2 }, kinds: { "secret.jwt": 2 }, findings: [], threshold: 1 }),
  event(7, "agent_completed", { agent_id: "guide-1", result: "1", status: "success", usage: { input: 1, output: 2, turns: 1 } }),
  event(8, "final_response", { message: "One.", status: "success", usage: { input: 1, output: 2, turns: 1 } }),
];

test("a whole arc becomes one finished turn with its steps", () => {
  const [turn] = play(...ARC).turns;
  assert.equal(turn.status, "done");
  assert.equal(turn.content, "say m1");
  assert.deepEqual(turn.steps.map((step) => step.kind), ["agent", "thinking", "tool", "sanitized"]);
  assert.deepEqual(turn.steps.map((step) => step.status), ["success", undefined, "ok", undefined]);
  assert.equal(turn.steps[2].summary, "1 row");
  assert.equal(turn.final.data, null);
  assert.equal(turn.endedAt - turn.startedAt, 7000);
});

test("replaying the log on top of itself changes nothing", () => {
  const state = play(...ARC);
  assert.equal(ARC.reduce(reduce, state), state);
});

test("every prefix of the log, then the whole log, ends in the same screen", () => {
  const whole = play(...ARC);
  for (let cut = 0; cut <= ARC.length; cut += 1) assert.deepEqual(play(...ARC.slice(0, cut), ...ARC), whole);
});

test("reducing never changes the state it is given", () => {
  const freeze = (value) => {
    if (value && typeof value === "object" && !Object.isFrozen(value)) {
      Object.freeze(value);
      Object.values(value).forEach(freeze);
    }
    return value;
  };
  ARC.reduce((state, one) => freeze(reduce(state, one)), freeze(emptyConversation("t")));
});

test("an optimistic message and its acceptance are one turn", () => {
  const state = play(said("m1"), accepted(1));
  assert.equal(state.turns.length, 1);
  assert.equal(state.turns[0].status, "accepted");
  assert.equal(state.turns[0].runId, "r1");
});

test("messages that still wait stand after those the server accepted", () => {
  const state = play(said("m1"), said("m2"), accepted(1, "other", "r9"), accepted(2, "m2", "r2"));
  assert.deepEqual(state.turns.map((turn) => turn.messageId), ["other", "m2", "m1"]);
});

test("a waiting message is sent, refused, and can be taken back", () => {
  const data = { key: "m1" };
  const sent = reduce(play(said("m1")), { type: "local.sent", data });
  assert.equal(sent.turns[0].status, "sent");
  const refused = reduce(sent, { type: "local.rejected", data: { ...data, code: "empty_message", message: "Empty.", error_id: "e1" } });
  assert.equal(refused.turns[0].status, "rejected");
  assert.equal(refused.turns[0].error.errorId, "e1");
  assert.deepEqual(reduce(refused, { type: "local.withdrawn", data }).turns, []);
  const taken = reduce(sent, accepted(1));
  assert.equal(reduce(taken, { type: "local.withdrawn", data }), taken);
  assert.equal(reduce(taken, { type: "local.waiting", data }), taken);
});

test("streamed text shows until the final answer replaces it", () => {
  const piece = (text, offset) => ({ type: "partial_result", thread_id: "t", run_id: "r1", data: { text, offset } });
  const streaming = play(accepted(1), piece("Done.\n\nMo", 0), piece("re", 9));
  assert.equal(streaming.turns[0].stream.text, "Done.\n\nMore");
  assert.equal(streaming.turns[0].status, "running");
  assert.equal(hasHole(streaming), false);
  assert.equal(hasHole(reduce(streaming, piece("x", 50))), true);
  const done = reduce(streaming, event(2, "final_response", { message: "Done.\n\nMore.", status: "success" }));
  assert.equal(done.turns[0].final.message, "Done.\n\nMore.");
  assert.equal(reduce(done, piece("late", 11)), done);
});

test("text that arrives before its message_accepted keeps its turn", () => {
  const early = play({ type: "partial_result", thread_id: "t", run_id: "r1", data: { text: "Hi", offset: 0 } });
  const state = reduce(early, accepted(1));
  assert.equal(state.turns.length, 1);
  assert.equal(state.turns[0].content, "say m1");
  assert.equal(state.turns[0].stream.text, "Hi");
});

test("a passing event that comes before the message_accepted of a message that waits makes no second turn of it", () => {
  const piece = { type: "partial_result", thread_id: "t", run_id: "r1", data: { text: "On", offset: 0 } };
  const { turns } = play(said("m1"), piece, accepted(1));
  assert.deepEqual(turns.map(({ key, runId, status, content, stream }) => [key, runId, status, content, stream.text]), [["m1", "r1", "running", "say m1", "On"]]);
});

test("a passing event that comes before its message_accepted does not cost the question", () => {
  const early = play({ type: "agent_progress", thread_id: "t", run_id: "r1", message_id: "m1", data: { note: "Looking" } });
  const state = reduce(early, accepted(1));
  assert.deepEqual(state.turns.map(({ content, parentId }) => [content, parentId]), [["say m1", null]]);
  assert.equal(reduce({ ...state, seq: 0 }, accepted(1)).turns, state.turns);
});

test("an error ends the run, keeps the text, and closes what was running", () => {
  const state = play(...ARC.slice(0, 4), event(5, "error", { code: "agent_timeout", message: "Too slow.", retryable: true, error_id: "e7" }));
  const [turn] = state.turns;
  assert.equal(turn.status, "failed");
  assert.deepEqual({ ...turn.error }, { code: "agent_timeout", message: "Too slow.", errorId: "e7", retryable: true, retryAfter: null });
  assert.deepEqual(turn.steps.map((step) => step.status), ["cancelled", undefined, "cancelled"]);
  assert.equal(liveTurn(state), null);
});

test("a stopped run is cancelled, not failed, whichever event says so", () => {
  assert.equal(play(accepted(1), event(2, "error", { code: "run_cancelled", message: "Stopped." })).turns[0].status, "cancelled");
  assert.equal(play(accepted(1), event(2, "final_response", { message: "", status: "cancelled" })).turns[0].status, "cancelled");
});

test("what is stopped is the first run that is shown and at work", () => {
  const queued = play(accepted(1), event(2, "agent_started", {}), said("m2"), accepted(3, "m2", "r2"));
  assert.equal(runningTurn(queued).runId, "r1");
  const next = reduce(queued, event(4, "final_response", { message: "", status: "success" }));
  assert.equal(runningTurn(next).runId, "r2");
  assert.equal(runningTurn(play(said("m1"))), null);
});

test("a handoff and the second agent are steps of the same turn", () => {
  const state = play(...ARC.slice(0, 2), event(3, "agent_handoff", { from: "guide", to: "analysis", reason: "A table" }),
    event(4, "agent_started", { agent_id: "analysis-1", message: "" }, { agent_type: "liaison", pillar: "analysis" }));
  assert.deepEqual(state.turns[0].steps.map((step) => step.kind), ["agent", "handoff", "agent"]);
  assert.equal(state.turns[0].steps[2].pillar, "analysis");
});

test("a message that is not taken yet shows what it waits for, until it is taken", () => {
  const progress = { type: "agent_progress", thread_id: "t", message_id: "m1", data: { done: 0, note: "Waiting for the database" } };
  const sent = reduce(play(said("m1")), { type: "local.sent", thread_id: "t", data: { key: "m1" } });
  const waits = reduce(sent, progress);
  assert.equal(waits.turns[0].progress.note, "Waiting for the database");
  assert.equal(reduce(waits, accepted(1)).turns[0].progress, null);
  assert.equal(reduce(play(said("m2")), progress).turns[0].progress, null);
});

test("progress shows until the next piece of work", () => {
  const progress = { type: "agent_progress", thread_id: "t", run_id: "r1", data: { done: 1, total: 4, note: "Reading" } };
  const state = play(...ARC.slice(0, 2), progress);
  assert.equal(state.turns[0].progress.note, "Reading");
  assert.equal(reduce(state, ARC[2]).turns[0].progress, null);
});

test("unknown events and unknown runs do no harm", () => {
  const state = play(...ARC);
  for (const type of ["typing", "constructor", "__proto__", "something_new"]) assert.equal(reduce(state, { type, data: {} }), state);
  assert.equal(reduce(state, { type: "something_new", seq: 9, data: {} }).seq, 9);
});

test("a trimmed log is replaced by the history, waiting messages stay", () => {
  const behind = play(said("m9"), { type: "resync", thread_id: "t", data: { last_seq: 40 } });
  assert.equal(behind.resync, 40);
  const state = reduce(behind, { type: "local.history", data: { last_seq: 40, messages: [
    { id: "m1", role: "user", content: "Hi", run_id: "r1", created_at: iso(AT) },
    { id: "a1", role: "assistant", content: "Hello", run_id: "r1", status: "success", created_at: iso(AT) },
  ] } });
  assert.equal(state.seq, 40);
  assert.deepEqual(state.turns.map((turn) => turn.messageId), ["m1", "m9"]);
  assert.equal(state.turns[0].final.message, "Hello");
});

test("turns that did not change keep their identity", () => {
  const state = play(...ARC);
  const next = reduce(state, accepted(9, "m2", "r2"));
  assert.equal(next.turns[0], state.turns[0]);
});

test("the provisional title is the first line, cut", () => {
  assert.equal(provisionalTitle(play(said("m1"))), "say m1");
  assert.equal(provisionalTitle(emptyConversation("t")), "");
});

test("two thousand events are reduced in well under a second", () => {
  const began = performance.now();
  let state = emptyConversation("t");
  for (let seq = 1; seq <= 2000; seq += 1) {
    const run = `r${Math.ceil(seq / 8)}`;
    state = reduce(state, { ...ARC[(seq - 1) % 8], seq, run_id: run, ...((seq - 1) % 8 === 0 ? { data: { message_id: `m${run}`, run_id: run, content: "x" } } : {}) });
  }
  assert.equal(state.turns.length, 250);
  assert.ok(performance.now() - began < 500);
});

test("a run that is being stopped says so until it has ended", () => {
  const stopping = reduce(play(...ARC.slice(0, 4)), { type: "local.stopping", data: { key: "m1" } });
  assert.equal(stopping.turns[0].stopping, true);
  assert.equal(reduce(stopping, event(5, "final_response", { message: "", status: "cancelled" })).turns[0].stopping, false);
  const done = play(...ARC);
  assert.equal(reduce(done, { type: "local.stopping", data: { key: "m1" } }), done);
});

const QUESTION = event(5, "approval_required", { agent_id: "guide-1", call_id: "c1", tool_name: "query_table", parameters: { sql: "select 1" }, expires_at: AT + 300 });
const asked = (state) => state.turns[0].steps[2].approval;

test("a call that asks for approval is open until it is decided, and says how", () => {
  const open = play(...ARC.slice(0, 4), QUESTION);
  assert.deepEqual(asked(open), { state: "open", parameters: { sql: "select 1" }, schema: null, expiresAt: (AT + 300) * 1000, decision: null, note: "", deciding: null });
  const deciding = reduce(open, { type: "local.deciding", run_id: "r1", data: { call_id: "c1", decision: "allow" } });
  assert.deepEqual([asked(deciding).state, asked(deciding).deciding], ["open", "allow"]);
  const decided = reduce(deciding, event(6, "approval_decided", { call_id: "c1", decision: "deny", note: "another tab" }));
  assert.deepEqual([asked(decided).state, asked(decided).decision, asked(decided).note, asked(decided).deciding], ["decided", "deny", "another tab", null]);
  const done = reduce(decided, event(7, "tool_completed", { call_id: "c1", status: "denied", result_summary: "Not allowed." }));
  assert.deepEqual([done.turns[0].steps[2].status, asked(done).decision], ["denied", "deny"]);
});

test("a question ends with its call, or with the run", () => {
  const open = play(...ARC.slice(0, 4), QUESTION);
  assert.equal(asked(reduce(open, event(6, "tool_completed", { call_id: "c1", status: "cancelled" }))).state, "over");
  assert.equal(asked(reduce(open, event(6, "error", { code: "run_interrupted", message: "Gone." }))).state, "over");
});

test("an agent's error is told once, by the error that ends the run", () => {
  const fault = { code: "agent_failed", message: "No.", retryable: true, error_id: "e1" };
  const going = play(...ARC.slice(0, 3), event(4, "agent_error", { agent_id: "guide-1", ...fault }));
  assert.deepEqual([going.turns[0].status, going.turns[0].error], ["running", null]);
  const ended = reduce(reduce(going, event(5, "agent_completed", { agent_id: "guide-1", status: "failed" })), event(6, "error", fault));
  assert.deepEqual([ended.turns[0].status, ended.turns[0].error.errorId, ended.turns[0].steps[0].status], ["failed", "e1", "failed"]);
});

test("thumbs are given, changed and taken back", () => {
  const rate = (rating) => ({ type: "feedback", thread_id: "t", run_id: "r1", data: { message_id: "answer-r1", rating } });
  const up = reduce(play(...ARC), rate("up"));
  assert.deepEqual(up.ratings, { "answer-r1": "up" });
  assert.equal(reduce(up, rate("up")), up);
  assert.deepEqual(reduce(up, rate("down")).ratings, { "answer-r1": "down" });
  assert.deepEqual(reduce(up, rate(null)).ratings, {});
});

test("a call is offered to be undone, is being undone, undone or not", () => {
  const call = (seq, id) => [event(seq, "tool_executing", { call_id: id, tool_name: "pay", parameters: {} }),
    event(seq + 1, "tool_completed", { call_id: id, status: "ok", undo_until: 1700000600 })];
  const done = play(...ARC.slice(0, 3), ...call(4, "a"), ...call(6, "b"), event(8, "final_response", { message: "Paid.", status: "success" }));
  const undos = (state) => state.turns[0].steps.filter((one) => one.undo).map(({ undo }) => undo.state);
  assert.deepEqual(undos(done), ["open", "open"]);
  assert.equal(done.turns[0].steps.find((one) => one.callId === "a").undo.until, 1700000600000);
  const doing = reduce(done, event(9, "undo_started", { call_ids: ["b", "a"] }));
  assert.deepEqual([undos(doing), doing.turns[0].status], [["doing", "doing"], "done"]);
  const failed = reduce(doing, event(10, "call_undone", { call_id: "b", status: "failed", reason: "Closed.", kept: ["a"] }));
  assert.deepEqual([undos(failed), failed.turns[0].steps.find((one) => one.callId === "b").undo.reason], [["open", "failed"], "Closed."]);
  const undone = reduce(failed, event(11, "call_undone", { call_id: "b", status: "ok" }));
  assert.deepEqual([undos(undone), undone.turns.length], [["open", "undone"], 1]);
  assert.equal(reduce(undone, { ...event(12, "undo_started", { call_ids: ["x"] }), run_id: "trimmed" }).turns, undone.turns);
});

test("a message to a run at work waits, is read at its place, or goes", () => {
  const at = (seq, type, data = {}) => ({ seq, type, thread_id: "t", run_id: "r", data });
  const begun = [
    at(1, "message_accepted", { message_id: "m", run_id: "r", content: "go" }),
    at(2, "agent_started", { agent_id: "a", message: "on it", timestamp: 1 }),
    { type: "local.steering", thread_id: "t", run_id: "r", data: { steer_id: "s1", content: "look", mode: "next" } },
  ].reduce(reduce, emptyConversation("t"));
  assert.equal(begun.turns[0].steers[0].state, "sending");
  const waiting = [at(3, "steer_accepted", { steer_id: "s1", content: "look", mode: "next" }), at(4, "steer_accepted", { steer_id: "s2", content: "no", mode: "next" })].reduce(reduce, begun);
  assert.deepEqual(waiting.turns[0].steers.map(({ id, state }) => [id, state]), [["s1", "waiting"], ["s2", "waiting"]]);
  const taken = [at(5, "steer_withdrawn", { steer_id: "s2" }), at(6, "steer_taken", { steer_id: "s1", turn: 1 })].reduce(reduce, waiting);
  assert.deepEqual(taken.turns[0].steers.map(({ id, state }) => [id, state]), [["s1", "taken"]]);
  assert.deepEqual(taken.turns[0].steps.at(-1), { ...taken.turns[0].steps.at(-1), kind: "steer", text: "look" });
});

test("what an operator does with a run, and says to it, is marked as theirs", () => {
  const at = (seq, type, data = {}) => ({ seq, type, thread_id: "t", run_id: "r", data });
  const [turn] = [
    at(1, "message_accepted", { message_id: "m", run_id: "r", content: "go" }),
    at(2, "agent_started", { agent_id: "a", message: "on it", timestamp: 1 }),
    at(3, "agent_thinking", { agent_id: "a", thought: "An operator has taken over this run: Help", notice: "taken_over", by: "op", reason: "Help" }),
    at(4, "steer_accepted", { steer_id: "s1", content: "look", mode: "next", by: "op" }),
    at(5, "steer_taken", { steer_id: "s1", turn: 1 }),
  ].reduce(reduce, emptyConversation("t")).turns;
  assert.deepEqual(turn.steers.map(({ state, by }) => [state, by]), [["taken", "op"]]);
  assert.deepEqual([turn.steps[1].notice, turn.steps[1].reason, turn.steps[1].by, turn.steps[2].by], ["taken_over", "Help", "op", "op"]);
});

test("a run that an operator takes over in the queue still waits", () => {
  const at = (seq, type, data = {}) => ({ seq, type, thread_id: "t", run_id: "r", data });
  const taken = [
    at(1, "message_accepted", { message_id: "m", run_id: "r", content: "go" }),
    { ...at(null, "agent_progress", { done: 0, note: "Waiting: 1 before this one" }), seq: undefined },
    at(2, "agent_thinking", { agent_id: "", thought: "An operator has taken over this run", notice: "taken_over", by: "op" }),
  ].reduce(reduce, emptyConversation("t"));
  const [turn] = taken.turns;
  assert.deepEqual([turn.status, turn.progress.note, turn.steps[0].notice], ["accepted", "Waiting: 1 before this one", "taken_over"]);
  assert.equal(reduce(taken, at(3, "agent_started", { agent_id: "a" })).turns[0].status, "running");
});

test("what a running call yields stands at it, the last items of it, until its result is there", () => {
  const run = { thread_id: "t", run_id: "r1" };
  const call = { type: "tool_executing", ...run, seq: 1, data: { call_id: "c", tool_name: "pages" } };
  const partial = (offset, items) => ({ type: "tool_partial", ...run, data: { call_id: "c", offset, items } });
  const begun = reduce(emptyConversation("t"), call);
  const many = [partial(0, [1, 2]), partial(2, Array.from({ length: 60 }, (_, index) => index))].reduce(reduce, begun);
  const step = many.turns[0].steps[0];
  assert.deepEqual([step.partial.length, step.partial.at(-1), step.yielded], [50, 59, 62]);
  const ended = reduce(many, { type: "tool_completed", ...run, seq: 2, data: { call_id: "c", status: "ok", result: [1] } });
  assert.equal(reduce(ended, partial(62, ["late"])), ended);
  assert.equal(reduce(begun, partial(0, "none")), begun);
});

test("a thought with a notice is a step that is not taken for a thought", () => {
  const changed = event(3, "agent_thinking", { agent_id: "guide-1", thought: "b goes on.", notice: "model_changed" });
  const [turn] = play(ARC[0], ARC[1], changed).turns;
  assert.deepEqual(turn.steps.map(({ kind, text }) => [kind, text]).at(-1), ["notice", "b goes on."]);
});

const goesOn = (seq, run, cut) => event(seq, "message_accepted", { message_id: "m1", run_id: run, content: "say m1", branch_of: "m1", continues: cut }, { run_id: run });
const piece = (run, text, offset) => ({ type: "partial_result", thread_id: "t", run_id: run, data: { text, offset } });
const follows = (seq, id, run, parent) => event(seq, "message_accepted", { message_id: id, run_id: run, content: id, parent_id: parent }, { run_id: run });

test("an answer that another run goes on with grows where it stands", () => {
  const cut = play(
    accepted(1), event(2, "agent_started", { agent_id: "a1", message: "" }), piece("r1", "One two", 0),
    event(3, "error", { code: "agent_timeout", message: "Too late.", retryable: true }),
  );
  assert.deepEqual([isCut(cut.turns[0]), cut.turns[0].status], [true, "failed"]);
  const went = reduce(cut, goesOn(4, "r2", "r1"));
  assert.equal(went.turns.length, 1);
  const [turn] = went.turns;
  assert.deepEqual([turn.key, turn.runId, turn.earlier, turn.status, turn.error, turn.stream.text], ["m1", "r2", ["r1"], "accepted", null, "One two"]);
  assert.equal(beside(went, turn).answers.length, 1);
  const whole = [
    piece("r2", "One two", 0), piece("r2", " three", 7),
    event(5, "final_response", { message: "One two three", status: "success", usage: {} }, { run_id: "r2" }), follows(6, "m2", "r3", "answer-r1"),
  ].reduce(reduce, went);
  assert.deepEqual(visible(whole).map(({ key }) => key), ["m1", "m2"]);
  assert.deepEqual([whole.turns[0].final.message, isCut(whole.turns[0])], ["One two three", false]);
});

test("a cut answer that is followed already has its continuation beside it", () => {
  const state = play(
    accepted(1), event(2, "final_response", { message: "One", status: "cancelled", usage: {} }), follows(3, "m2", "r2", "answer-r1"), goesOn(4, "r3", "r1"),
  );
  assert.deepEqual(state.turns.map(({ runId }) => runId), ["r1", "r2", "r3"]);
  assert.equal(beside(state, state.turns[0]).answers.length, 2);
});

test("the text of a failed answer is known from the log alone", () => {
  const [turn] = play(
    accepted(1), event(2, "agent_started", { agent_id: "a1", message: "" }),
    event(3, "agent_completed", { agent_id: "a1", result: "One two", status: "failed", usage: {} }),
    event(4, "error", { code: "agent_timeout", message: "Too late.", retryable: true }),
  ).turns;
  assert.equal(turn.stream.text, "One two");
});

test("an answer is cut if a limit ended it, not if a call of it was undone", () => {
  const ended = (data, steps = []) => isCut({ status: "done", runId: "r", steps, final: { data } });
  assert.deepEqual([ended(null), ended({ budget: {} }), ended({ cut: { by: "length" } }), ended({ cut: {} }, [{ undo: { state: "undone" } }])], [false, true, true, false]);
});

test("the history shows a cut answer as cut, and one that was gone on with once", () => {
  const said = (id, runId, more = {}) => ({ id, role: "user", run_id: runId, content: id, agent_type: "guide", pillar: null, created_at: 1, parent_id: null, ...more });
  const told = (runId, of, status, content) => ({ id: `answer-${runId}`, role: "assistant", run_id: runId, parent_id: of, status, content, agent_type: "guide", pillar: null, created_at: 2 });
  const runs = [{ run_id: "r1", status: "cancelled" }, { run_id: "r2", status: "success", continues: "r1" }];
  const turns = historyTurns([
    said("m1", "r1", { runs }), told("r1", "m1", "cancelled", "One"), told("r2", "m1", "success", "One two"),
    said("m2", "r3", { parent_id: "answer-r2", runs: [{ run_id: "r3", status: "failed" }] }), told("r3", "m2", "failed", "Half"),
  ]);
  assert.deepEqual(turns.map(({ runId, earlier, status }) => [runId, earlier, status]), [["r2", ["r1"], "done"], ["r3", [], "failed"]]);
  assert.deepEqual([turns[1].final, turns[1].stream.text], [null, "Half"]);
});
