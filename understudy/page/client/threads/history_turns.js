/** The history of a thread from REST, as finished turns. Pure. */

import { cutStream, EMPTY_STREAM } from "./stream.js";
import { newTurn } from "./turns.js";
import { moment } from "../format.js";

const ERRED = new Set(["failed", "interrupted"]);

/** The turns of `messages` (oldest first): one an answer, and one for each message that has none. */
export function historyTurns(messages) {
  const turns = [];
  const next = continuations(messages);
  for (const message of messages) {
    if (message.role === "user") turns.push(questionOf(message, turns, next));
    else if (message.role === "assistant" && !next.has(message.run_id)) answer(turns, message);
  }
  return turns;
}

/** Which run went on with the cut answer of another: that has its text. One whose answer is followed keeps its own. */
function continuations(messages) {
  const followed = new Set(messages.filter(({ role }) => role === "user").map(({ parent_id: parent }) => parent));
  const pairs = messages.flatMap(({ runs = [] }) => runs.map(({ run_id: runId, continues }) => [continues, runId]));
  return new Map(pairs.filter(([cut]) => cut && !followed.has(`answer-${cut}`)));
}

/** Returns the user's ratings of answers: {answer id: "up" | "down"}. */
export function ratingsIn(messages) {
  return Object.fromEntries(messages.filter(({ feedback }) => feedback?.rating).map(({ id, feedback }) => [id, feedback.rating]));
}

function questionOf(message, turns, next) {
  const before = turns.at(-1)?.runId;
  const chain = [message.run_id];
  while (next.has(chain.at(-1)) && !chain.includes(next.get(chain.at(-1)))) chain.push(next.get(chain.at(-1)));
  return newTurn({
    key: message.id, messageId: message.id, runId: chain.at(-1), earlier: chain.slice(0, -1), content: message.content, references: message.references ?? [],
    agentType: message.agent_type, pillar: message.pillar, sentAt: moment(message.created_at), status: "done",
    // Older servers do not say what a message follows: there it is the one before.
    parentId: message.parent_id === undefined ? before ? `answer-${before}` : null : message.parent_id,
  });
}

/** Returns the part of an answer's data that the history stores. */
export function keptData({ next_steps: steps, files }) {
  const results = steps?.length > 0 ? { results: [{ next_steps: steps }] } : null;
  return results || files?.length > 0 ? { ...results, ...(files?.length > 0 && { files }) } : null;
}

/** An answer that ended in an error has its text, and is no final one. */
function cutBy({ content }) {
  return { status: "failed", final: null, stream: cutStream(EMPTY_STREAM, content) };
}

function answer(turns, message) {
  const answered = {
    final: {
      message: message.content, usage: null,
      data: keptData(message),
      visualization: message.visualization ?? null, at: moment(message.created_at),
    },
    status: message.status === "cancelled" ? "cancelled" : "done",
    ...(ERRED.has(message.status) && cutBy(message)),
  };
  const index = turns.findLastIndex((turn) => turn.runId === message.run_id);
  if (index >= 0) {
    turns[index] = { ...turns[index], ...answered };
    return;
  }
  const question = turns.findLast((turn) => message.parent_id && turn.messageId === message.parent_id) ?? null;
  turns.push(newTurn({
    ...question, key: `run:${message.run_id}`, messageId: question?.messageId ?? message.id, runId: message.run_id, again: question !== null,
    ...answered,
  }));
}
