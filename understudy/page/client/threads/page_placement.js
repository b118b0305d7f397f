/**
 * The place of a page of turns in a state. Pure.
 *
 * A page is {title, seq, turns, tip, ratings, answers}: `turns` in the order of the log, those of other branches as stubs; `tip` is
 * the run with which the branch ends; `ratings` are the thumbs on `answers`. A turn's `parentId` leads to the page before:
 * so pages need no numbers, and what is loaded may have gaps that no branch crosses.
 */

import { answerId, older, showing } from "./branches.js";
import { isPending, LIVE } from "./turns.js";

/** The state with the last page of a branch. What was not accepted yet stays, and what the page goes on from. */
export function withPage(state, { title = null, seq, turns: paged, ratings, answers }) {
  const rated = { ...without(state.ratings, answers), ...ratings };
  if (seq === state.seq && state.resync === null && state.turns.some((turn) => !isPending(turn))) return { ...state, title, ratings: rated };
  const known = new Map(state.turns.filter(({ runId }) => runId).map((turn) => [turn.runId, turn]));
  const fresh = paged.map((turn) => replacing(known.get(turn.runId), turn));
  const accepted = (turn) => fresh.some((one) => one.messageId === turn.messageId && one.again === turn.again && (!turn.again || one.seq > state.seq));
  const pending = state.turns.filter((turn) => isPending(turn) && !accepted(turn));
  const before = keptBefore(state, { seq, turns: fresh });
  const next = { ...state, title, seq, resync: null, leaf: null, ratings: rated, turns: [...before, ...fresh].sort(inOrder).concat(pending) };
  if (gapBefore(state, { seq, turns: fresh }) !== null) return marked({ ...next, turns: [...fresh, ...pending] });
  const leaf = next.turns.find(({ key, stub }) => key === state.leaf && !stub); // of the branch that was picked
  return marked(leaf && state.resync === null ? showing(next, leaf) : next);
}

/** The answer that a page follows if that is not among the turns that stay: what lies between has not been read. Else null. */
export function gapBefore(state, { seq, turns }) {
  const start = older({ ...state, leaf: null, turns });
  return keptBefore(state, { seq, turns }).some(({ runId, stub }) => !stub && answerId(runId) === start) ? null : start;
}

/** The turns of a state that stay before a page. A run that was at work is as the page says, or is not known any more. */
function keptBefore(state, { seq, turns }) {
  if (state.resync !== null) return [];
  const runs = new Set(turns.map(({ runId }) => runId));
  return state.turns.filter((turn) => !isPending(turn) && !LIVE.has(turn.status) && !runs.has(turn.runId) && (turn.seq ?? 0) <= seq);
}

/**
 * A turn of a page in the place of the known one, if any. What only the socket carries stays: the text of an answer that is
 * still written, which the resume goes on with. A turn that is there whole does not become a name again.
 */
function replacing(known, turn) {
  if (!known) return turn;
  if (turn.stub && !known.stub && !LIVE.has(known.status)) return known;
  const { key, stream, stopping } = known;
  return LIVE.has(known.status) && LIVE.has(turn.status) ? { ...turn, key, stream, stopping } : { ...turn, key };
}

/** The state with an older page of a branch, or with another branch: then it is shown, down to its `tip`. */
export function withOlder(state, { turns: paged, tip, ratings, before = null }) {
  if (paged.length === 0 && before !== null) { // there is nothing before
    return marked({ ...state, turns: state.turns.map((turn) => (turn.parentId === before ? { ...turn, parentId: null } : turn)) });
  }
  const places = new Map(state.turns.map((turn, index) => [turn.runId, index]));
  const turns = state.turns.slice();
  const fresh = [];
  for (const turn of paged) {
    if (LIVE.has(turn.status)) continue; // its events come over the socket
    const at = places.get(turn.runId);
    if (at === undefined) fresh.push(turn);
    else if (turns[at].stub && !turn.stub) turns[at] = { ...turn, key: turns[at].key };
  }
  const placed = { ...state, turns: [...fresh, ...turns.filter((turn) => !isPending(turn))].sort(inOrder).concat(turns.filter(isPending)), ratings: { ...ratings, ...state.ratings } };
  if (before !== null) return marked(placed);
  const newest = placed.turns.findLast((turn) => turn.parentId !== undefined);
  const leaf = placed.turns.find(({ runId }) => runId === tip);
  return marked({ ...placed, leaf: leaf === undefined || leaf === newest ? null : leaf.key });
}

/** Compares turns: by the log; turns that it does not tell of any more are older than all others, and keep their order. */
export function inOrder(one, other) {
  return (one.seq ?? 0) - (other.seq ?? 0);
}

function marked(state) {
  return { ...state, cut: older(state) !== null };
}

function without(ratings, answers) {
  const named = new Set(answers);
  return Object.fromEntries(Object.entries(ratings).filter(([answer]) => !named.has(answer)));
}
