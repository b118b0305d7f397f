/** What notices say, and which news deserve one. Pure. */

import { t } from "./messages.js";

/** The kinds of news, as the server names them. */
export const KINDS = Object.freeze(["needs_you", "answered", "failed"]);

/** The sentence of each kind, in the user's language: the service worker shows notices while no page is open. */
export function noticeTexts() {
  return Object.fromEntries(KINDS.map((kind) => [kind, t(`notices.${kind}`)]));
}

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
    const { on = false, answers = false, browser = null } = JSON.parse(text ?? "null") ?? {};
    return { on: on === true, answers: answers === true, browser: typeof browser === "string" ? browser : null };
  } catch {
    return { on: false, answers: false, browser: null };
  }
}

/** The bytes of a text in base64url. */
export function bytesOf(base64url) {
  const text = atob(base64url.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/** Whether two keys, each bytes or null, are the same. */
export function sameKey(one, other) {
  const [left, right] = [one, other].map((key) => (key ? new Uint8Array(key) : null));
  return left !== null && right !== null && left.length === right.length && left.every((byte, index) => byte === right[index]);
}
