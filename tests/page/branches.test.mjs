import assert from "node:assert/strict";
import { test } from "node:test";

import { beside, nextParent, visible } from "../../understudy/page/client/threads/branches.js";
import { emptyConversation, reduce } from "../../understudy/page/client/threads/conversation.js";
import { historyTurns } from "../../understudy/page/client/threads/history_turns.js";
import { nextSteps } from "../../understudy/page/answer/answer_end.js";

let counted = 0;
const accepted = (id, run, more = {}) => ({
  type: "message_accepted", seq: (counted += 1), thread_id: "t", run_id: run, data: { message_id: id, run_id: run, content: `say ${id}`, ...more },
});
const play = (...events) => {
  counted = 0;
  return events.map((event) => (typeof event === "function" ? event() : event)).reduce(reduce, emptyConversation("t"));
};
const shown = (state) => visible(state).map((turn) => turn.runId ?? turn.key);
const said = (key, more = {}) => ({ type: "local.said", thread_id: "t", data: { key, kind: "say", content: key, ...more } });
const pick = (key) => ({ type: "local.picked", thread_id: "t", data: { key } });

// m1 -> r1 -> m2 -> r2; then m2 said again as m3 -> r3; m3 answered again -> r4; and m1 answered again -> r5
const TREE = [
  () => accepted("m1", "r1"), () => accepted("m2", "r2", { parent_id: "answer-r1" }),
  () => accepted("m3", "r3", { parent_id: "answer-r1", branch_of: "m2" }),
  () => accepted("m3", "r4", { parent_id: "answer-r1", branch_of: "m3" }), () => accepted("m1", "r5", { branch_of: "m1" }),
];

test("the newest branch is shown, whatever stands beside it", () => {
  assert.deepEqual(TREE.map((_, count) => shown(play(...TREE.slice(0, count + 1)))), [
    ["r1"], ["r1", "r2"], ["r1", "r3"], ["r1", "r4"], ["r5"],
  ]);
});

test("a switch between versions leads to the newest end behind it", () => {
  const state = play(...TREE);
  const [, second] = visible(reduce(state, pick("m1")));
  assert.deepEqual(shown(reduce(state, pick("m1"))), ["r1", "r4"]);
  const { messages, message, answers, answer } = beside(state, second);
  assert.deepEqual([messages.map((turn) => turn.messageId), message, answers.map((turn) => turn.runId), answer], [["m2", "m3"], 1, ["r3", "r4"], 1]);
  assert.deepEqual(shown(reduce(state, pick(messages[0].key))), ["r1", "r2"]);
  assert.deepEqual(shown(reduce(state, pick(answers[0].key))), ["r1", "r3"]);
  assert.deepEqual(shown(reduce(reduce(state, pick("m1")), pick("run:r5"))), ["r5"]);
  assert.equal(reduce(state, pick("nothing")), state);
});

test("what is said on a branch follows it; what another tab says elsewhere does not move the reader", () => {
  const older = reduce(play(...TREE), pick("m2"));
  assert.equal(nextParent(older), "answer-r2");
  assert.equal(nextParent(play(...TREE)), null);
  const elsewhere = reduce(older, accepted("m6", "r6", { parent_id: "answer-r5" }));
  assert.deepEqual(shown(elsewhere), ["r1", "r2"]);
  const own = reduce(older, said("m7", { parent_id: "answer-r2" }));
  assert.deepEqual(shown(own), ["r1", "r2", "m7"]);
  assert.equal(nextParent(own), null);
  assert.deepEqual(shown(reduce(own, accepted("m7", "r7", { parent_id: "answer-r2" }))), ["r1", "r2", "r7"]);
  const newest = reduce(older, accepted("m8", "r8", { parent_id: "answer-r2" })); // this branch is the newest one now
  assert.deepEqual([shown(newest), newest.leaf], [["r1", "r2", "r8"], null]);
});

test("messages that wait stand behind the newest branch, also before the log is known", () => {
  assert.deepEqual(shown(play(said("a"), said("b"))), ["a", "b"]);
  assert.deepEqual(shown(play(said("a"), said("b"), ...TREE.slice(0, 3))), ["r1", "r3", "a", "b"]);
  assert.deepEqual(shown(reduce(play(...TREE, said("a")), pick("m2"))), ["r1", "r2"]);
  assert.deepEqual(shown(play(said("a"), said("b"), ...TREE.slice(0, 2), () => accepted("a", "r9", { parent_id: "answer-r2" }))), ["r1", "r2", "r9", "b"]);
});

test("an edit or another answer is there at once, and is one turn with what the server accepts", () => {
  const before = play(...TREE.slice(0, 2));
  const edited = reduce(before, said("m3", { kind: "edit", of: "m2" }));
  assert.deepEqual(shown(edited), ["r1", "m3"]);
  assert.equal(beside(edited, visible(edited)[1]).messages.length, 2);
  const done = reduce(edited, accepted("m3", "r3", { parent_id: "answer-r1", branch_of: "m2" }));
  assert.deepEqual([shown(done), done.turns.length], [["r1", "r3"], 3]);

  const again = reduce(before, said("q1", { kind: "regenerate", of: "m2", content: undefined }));
  assert.deepEqual([shown(again), visible(again)[1].content], [["r1", "q1"], "say m2"]);
  assert.equal(beside(again, visible(again)[1]).answers.length, 2);
  const answered = reduce(again, accepted("m2", "r3", { parent_id: "answer-r1", branch_of: "m2" }));
  assert.deepEqual([shown(answered), answered.turns.length, visible(answered)[1].key], [["r1", "r3"], 3, "q1"]);
});

test("a log that does not tell what follows what is one branch", () => {
  assert.deepEqual(shown(play(() => accepted("m1", "r1"), () => accepted("m2", "r2"), () => accepted("m3", "r3"))), ["r1", "r2", "r3"]);
});

test("the history of REST is the same tree", () => {
  const user = (id, run, parent, branch = null) => ({ id, role: "user", content: `say ${id}`, run_id: run, parent_id: parent, branch_of: branch, created_at: 5 });
  const answer = (run, parent, branch = null) => ({ id: `answer-${run}`, role: "assistant", content: "x", run_id: run, parent_id: parent, branch_of: branch, status: "success", created_at: 6 });
  const messages = [
    user("m1", "r1", null), answer("r1", "m1"), user("m2", "r2", "answer-r1"), user("m3", "r3", "answer-r1", "m2"), answer("r3", "m3"), answer("r4", "m3", "m3"),
  ];
  const state = { ...emptyConversation("t"), turns: historyTurns(messages) };
  assert.deepEqual(shown(state), ["r1", "r4"]);
  assert.deepEqual(state.turns.map((turn) => [turn.messageId, turn.sentAt]), [["m1", 5000], ["m2", 5000], ["m3", 5000], ["m3", 5000]]);
  assert.deepEqual(shown(reduce(state, pick("m2"))), ["r1", "r2"]);
  assert.equal(new Set(state.turns.map((turn) => turn.key)).size, 4);
});

test("an answer of the history offers its next steps", () => {
  const steps = [{ label: "Rows", tool: "rows", arguments: {} }];
  const answer = { id: "answer-r1", role: "assistant", content: "x", run_id: "r1", created_at: 1 };
  assert.deepEqual(historyTurns([answer, { ...answer, run_id: "r2", next_steps: steps }]).map((turn) => nextSteps(turn.final)), [[], steps]);
});

test("the history of a server that knows no branches is one branch", () => {
  const messages = ["1", "2"].flatMap((n) => [
    { id: `m${n}`, role: "user", content: "x", run_id: `r${n}`, created_at: 1 }, { id: `answer-r${n}`, role: "assistant", content: "y", run_id: `r${n}`, created_at: 2 },
  ]);
  assert.deepEqual(shown({ ...emptyConversation("t"), turns: historyTurns(messages) }), ["r1", "r2"]);
});
