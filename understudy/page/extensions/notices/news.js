/** Which news deserve a notice. Pure. */

/**
 * The notices for what is new: {kind, threadId, title}, one for each chat. `fresh` is what `newItems` gives; `answers`: also
 * for answers that have ended.
 */
export function noticesFor(fresh, { answers }) {
  const found = new Map();
  if (answers) {
    for (const one of fresh.unread) found.set(one.thread_id, { kind: one.status === "success" ? "answered" : "failed", threadId: one.thread_id, title: one.title });
  }
  for (const one of fresh.needsYou) found.set(one.thread_id, { kind: "needs_you", threadId: one.thread_id, title: one.title });
  return [...found.values()];
}

/** {on, answers} as it was stored; off when there is nothing. */
export function storedChoice(text) {
  try {
    const { on = false, answers = false } = JSON.parse(text ?? "null") ?? {};
    return { on: on === true, answers: answers === true };
  } catch {
    return { on: false, answers: false };
  }
}
