/**
 * The tree of a thread: which of its turns are on the screen, and which stand beside them. Pure.
 *
 * A turn is a message with one answer. It follows its `parentId`, the answer before it ("answer-" and a run's id; null
 * at the beginning). Turns with one parent are siblings: a message that was edited, or one answered once more.
 * `state.leaf` is the key of the turn at which the shown branch ends; null: the newest branch, which ends with the turn
 * accepted last. A message that waits and names no parent will follow the newest branch, and stands behind it.
 */

const trees = new WeakMap(); // state -> {path, siblings}

/** The id by which the answer of a run is named. */
export function answerId(runId) {
  return runId ? `answer-${runId}` : null;
}

/** The ids of a turn's answer: of the run that went on with it last, and of those before. */
function answersOf({ runId, earlier }) {
  return [...earlier, runId].filter(Boolean).map(answerId);
}

/** The turns of the branch that is shown, in order. */
export function visible(state) {
  return treeOf(state).path;
}

/** The run of the last turn that is shown and has one; null if there is none. `state` is undefined for a thread that is not open. */
export function lastRun(state) {
  return (state ? visible(state) : []).findLast(({ runId }) => runId)?.runId ?? null;
}

/**
 * Returns the alternatives to a turn: {messages, message, answers, answer, last}. `messages` are turns, the latest of each message
 * with the same parent; `answers` are the turns of this very message; the numbers are this turn's places, from 0. `last`:
 * the branch that is shown ends with it.
 */
export function beside(state, turn) {
  const siblings = treeOf(state).siblings.get(turn.parentId) ?? [turn];
  const latest = new Map();
  for (const one of siblings) latest.set(one.messageId, one); // the place of the first, the turn of the last
  const messages = [...latest.values()];
  const answers = siblings.filter((one) => one.messageId === turn.messageId);
  return {
    messages, message: messages.findIndex((one) => one.messageId === turn.messageId), answers, answer: answers.indexOf(turn),
    last: treeOf(state).path.at(-1) === turn,
  };
}

function treeOf(state) {
  if (!trees.has(state)) trees.set(state, grow(state));
  return trees.get(state);
}

function grow({ turns, leaf }) {
  const anchored = turns.filter((turn) => turn.parentId !== undefined);
  const siblings = new Map();
  for (const turn of anchored) {
    const beside = siblings.get(turn.parentId);
    if (beside) beside.push(turn);
    else siblings.set(turn.parentId, [turn]); // a list that was pushed to has room for many more, in each of thousands
  }
  const byAnswer = new Map(anchored.flatMap((turn) => answersOf(turn).map((answer) => [answer, turn])));
  const path = new Set();
  let turn = anchored.find((one) => one.key === leaf) ?? anchored.at(-1) ?? null;
  while (turn && !path.has(turn)) {
    path.add(turn);
    turn = byAnswer.get(turn.parentId) ?? null;
  }
  const waiting = leaf === null ? turns.filter((one) => one.parentId === undefined) : [];
  return { path: [...[...path].reverse(), ...waiting], siblings };
}

/** The state that shows the branch through `turn`, down to the end in it that was accepted last. */
export function showing(state, turn) {
  const { siblings } = treeOf(state);
  const seen = new Set([turn]);
  const ends = new Set();
  for (const one of seen) {
    const next = answersOf(one).flatMap((answer) => siblings.get(answer) ?? []);
    if (next.length === 0) ends.add(one);
    for (const child of next) seen.add(child);
  }
  const last = state.turns.findLast((one) => ends.has(one)) ?? turn;
  return { ...state, leaf: last === state.turns.findLast((one) => one.parentId !== undefined) ? null : last.key };
}

/** The answer that the shown branch goes on from before what is there, or null: it is there from its beginning. */
export function older(state) {
  return visible(state)[0]?.parentId ?? null;
}

/** Returns the answer's id that the next message follows; null if that is the newest one, or not known yet. */
export function nextParent(state) {
  return state.leaf === null ? null : answerId(visible(state).at(-1)?.runId);
}
