/** The history of a thread from REST, as finished turns. Pure. */

import { newTurn } from "./turns.js";
import { moment } from "./format.js";

/** The turns of `messages` (oldest first): one an answer, and one for each message that has none. */
export function historyTurns(messages) {
  const turns = [];
  for (const message of messages) {
    if (message.role === "user") turns.push(questionOf(message, turns));
    else if (message.role === "assistant") answer(turns, message);
  }
  return turns;
}

/** What the user has said of answers: {answer id: "up" | "down"}. */
export function ratingsIn(messages) {
  return Object.fromEntries(messages.filter(({ feedback }) => feedback?.rating).map(({ id, feedback }) => [id, feedback.rating]));
}

function questionOf(message, turns) {
  const before = turns.at(-1)?.runId;
  return newTurn({
    key: message.id, messageId: message.id, runId: message.run_id, content: message.content, references: message.references ?? [],
    agentType: message.agent_type, pillar: message.pillar, sentAt: moment(message.created_at), status: "done",
    // Older servers do not say what a message follows: there it is the one before.
    parentId: message.parent_id === undefined ? before ? `answer-${before}` : null : message.parent_id,
  });
}

function answer(turns, message) {
  const answered = {
    final: {
      message: message.content, html: message.html ?? null, usage: null,
      data: message.next_steps?.length > 0 ? { results: [{ next_steps: message.next_steps }] } : null,
      visualization: message.visualization ?? null, at: moment(message.created_at),
    },
    status: message.status === "cancelled" ? "cancelled" : "done",
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
