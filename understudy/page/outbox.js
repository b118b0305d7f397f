/**
 * Messages that were sent but that the server has not accepted yet, kept across reloads.
 *
 * One storage key a message, so that two tabs never overwrite each other's queue. A message keeps its
 * `message_id`, by which the server knows that a message sent twice is one message.
 */

const PREFIX = "understudy.outbox.";

export class Outbox {
  /** `storage` has the shape of `localStorage`. */
  constructor(storage) {
    this.storage = storage;
    this.entries = new Map();
    for (const entry of readAll(storage)) this.entries.set(entry.message_id, entry);
  }

  get size() {
    return this.entries.size;
  }

  /** Queues a user_message payload; `payload.message_id` is its name. `at` is in milliseconds. */
  add(payload, at) {
    const last = [...this.entries.values()].at(-1);
    const order = Math.max(at, (last?.order ?? 0) + 1);
    const entry = { message_id: payload.message_id, thread_id: payload.thread_id, payload, order, at, attempts: 0 };
    this.entries.set(entry.message_id, entry);
    this.storage.setItem(PREFIX + entry.message_id, JSON.stringify(entry));
    return entry;
  }

  /** Notes one more attempt; it is stored, so that a reload knows that the message may have arrived. */
  attempted(messageId) {
    const entry = this.entries.get(messageId);
    if (!entry) return;
    entry.attempts += 1;
    this.storage.setItem(PREFIX + messageId, JSON.stringify(entry));
  }

  get(messageId) {
    return this.entries.get(messageId) ?? null;
  }

  /** Forgets a message: it was accepted, refused for good, or taken back. Returns it, or null. */
  remove(messageId) {
    const entry = this.entries.get(messageId) ?? null;
    this.entries.delete(messageId);
    if (entry) this.storage.removeItem(PREFIX + messageId);
    return entry;
  }

  /** What waits, oldest first; only one thread's when `threadId` is given. */
  waiting(threadId = null) {
    const all = [...this.entries.values()].sort((one, other) => one.order - other.order);
    return threadId === null ? all : all.filter((entry) => entry.thread_id === threadId);
  }
}

function readAll(storage) {
  const found = [];
  for (let index = 0; index < storage.length; index += 1) {
    const key = storage.key(index);
    if (!key?.startsWith(PREFIX)) continue;
    const entry = parse(storage.getItem(key));
    if (entry) found.push(entry);
  }
  return found.sort((one, other) => one.order - other.order);
}

function parse(text) {
  try {
    const entry = JSON.parse(text);
    return entry?.payload?.message_id === entry.message_id && entry.thread_id ? entry : null;
  } catch {
    return null;
  }
}
