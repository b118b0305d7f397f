/**
 * Messages that the server has not accepted yet. They survive reloads, and all tabs share them.
 *
 * One storage key an entry, so that two tabs never overwrite each other's queue. An entry keeps its `message_id`, by
 * which the server recognises a repeat. What another tab has queued is sent by it; this one takes it
 * over when nothing came of it for a while (the tab was closed).
 */

const PREFIX = "understudy.outbox.";
export const OTHERS_MS = 30_000; // longer than a tab that lives waits for an answer

export class Outbox {
  /** `storage` has the shape of `localStorage`; `window` reports what other tabs store, or is null. */
  constructor(storage, { window = null, now = () => Date.now() } = {}) {
    this.storage = storage;
    this.now = now;
    this.user = null;
    /** @type {Map<string, any>} */
    this.entries = new Map(); // by the ids of their messages
    /** @type {(change: {entry: any, fresh?: boolean, gone?: boolean}) => void} */
    this.onChange = () => {};
    this.reread();
    window?.addEventListener?.("storage", (event) => this.#elsewhere(event));
  }

  /** Takes up what is stored. */
  reread() {
    for (const entry of readAll(this.storage)) this.entries.set(entry.message_id, entry);
  }

  /** The number of this user's waiting entries. */
  get size() {
    return this.waiting().length;
  }

  /**
   * Queues a command: `{type, message_id, thread_id, payload}`, where `message_id` is the name under which it will be
   * accepted; a regenerate has the thread's last seq in `after`. `at` is in milliseconds; `user` owns it (null: any user).
   */
  add({ type = "user_message", message_id: messageId, ...rest }, at, user = null) {
    const last = [...this.entries.values()].at(-1);
    const order = Math.max(at, (last?.order ?? 0) + 1);
    const entry = { type, message_id: messageId, ...rest, order, at, attempts: 0, user };
    this.entries.set(messageId, entry);
    this.#keep(entry);
    return entry;
  }

  /** Notes one more attempt; it is stored, so that a reload knows that the message may have arrived. */
  attempted(messageId) {
    const entry = this.entries.get(messageId);
    if (!entry) return;
    entry.attempts += 1;
    this.#keep(entry);
  }

  get(messageId) {
    return this.entries.get(messageId) ?? null;
  }

  /** Forgets an entry: it was accepted, refused for good, or taken back. Returns it, or null. */
  remove(messageId) {
    const entry = this.entries.get(messageId) ?? null;
    this.entries.delete(messageId);
    if (entry) this.storage.removeItem(PREFIX + messageId);
    return entry;
  }

  /** The queued entries of this user, oldest first; only one thread's when `threadId` is given. */
  waiting(threadId = null) {
    return [...this.entries.values()]
      .filter((entry) => (threadId === null || entry.thread_id === threadId) && this.#mine(entry))
      .sort((one, other) => one.order - other.order);
  }

  /** Forgets everything, of whichever user. */
  clear() {
    for (const messageId of [...this.entries.keys()]) this.storage.removeItem(PREFIX + messageId);
    this.entries.clear();
  }

  /** Whether this tab may send an entry now, as it is its own or another tab has given it up. */
  sendable(entry) {
    return entry.elsewhereUntil === undefined || entry.elsewhereUntil <= this.now();
  }

  #mine(entry) {
    return !entry.user || !this.user || entry.user === this.user;
  }

  #keep(/** @type {any} */ { elsewhereUntil: _elsewhere, ...entry }) {
    this.storage.setItem(PREFIX + entry.message_id, JSON.stringify(entry));
  }

  /** Another tab has queued something, has tried again, or is done with it. */
  #elsewhere({ key, newValue }) {
    if (!key?.startsWith(PREFIX)) return;
    const messageId = key.slice(PREFIX.length);
    const entry = parse(newValue);
    const known = this.entries.get(messageId);
    if (entry) this.entries.set(messageId, { ...entry, elsewhereUntil: this.now() + OTHERS_MS });
    else this.entries.delete(messageId);
    this.onChange(entry ? { entry, fresh: known === undefined } : { entry: known ?? null, gone: true });
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
    return entry?.payload && typeof entry.message_id === "string" && entry.thread_id ? { type: "user_message", ...entry } : null;
  } catch {
    return null;
  }
}
