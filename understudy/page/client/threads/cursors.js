/**
 * Where each followed thread stands: the one rule that makes loss, repeats and reconnects harmless.
 *
 * A durable event is taken when its `seq` is the cursor's successor, dropped when the cursor is already there,
 * and a gap (the thread must be resumed) when it lies further on. Events without `seq` are taken.
 */
export class Cursors {
  constructor() {
    this.byThread = new Map();
  }

  /** Follows a thread from the event after `seq`. `exists`: the server may know it, so it can be resumed. */
  follow(threadId, seq = 0, exists = true) {
    this.byThread.set(threadId, { seq, exists, behind: false, held: false });
  }

  /** Takes no event of a thread, and does not resume it, until it is followed again. */
  hold(threadId) {
    const cursor = this.byThread.get(threadId) ?? { seq: 0, exists: false, behind: false };
    this.byThread.set(threadId, { ...cursor, held: true });
  }

  isHeld(threadId) {
    return this.byThread.get(threadId)?.held ?? false;
  }

  unfollow(threadId) {
    this.byThread.delete(threadId);
  }

  has(threadId) {
    return this.byThread.has(threadId);
  }

  seq(threadId) {
    return this.byThread.get(threadId)?.seq ?? 0;
  }

  /** Records that the server knows the thread. */
  exists(threadId) {
    const cursor = this.byThread.get(threadId);
    if (cursor) cursor.exists = true;
  }

  /** Sets the cursor where a trimmed log goes on. */
  jump(threadId, seq) {
    const cursor = this.byThread.get(threadId);
    if (cursor) Object.assign(cursor, { seq, behind: false });
  }

  /** Gaps noticed on a connection that is gone mean nothing on the next one. */
  reconnected() {
    for (const cursor of this.byThread.values()) cursor.behind = false;
  }

  /**
   * "take", "duplicate", "foreign" (a thread that is not followed), "held", "gap" (resume now) or "behind" (already
   * asked for). Taking an event moves the cursor.
   */
  judge(event) {
    if (!event.thread_id) return "take";
    const cursor = this.byThread.get(event.thread_id);
    if (!cursor) return "foreign";
    if (cursor.held) return "held";
    if (!Number.isInteger(event.seq)) return "take";
    if (event.seq <= cursor.seq) return "duplicate";
    if (event.seq > cursor.seq + 1) {
      const verdict = cursor.behind ? "behind" : "gap";
      cursor.behind = true;
      return verdict;
    }
    Object.assign(cursor, { seq: event.seq, behind: false, exists: true });
    return "take";
  }

  /** Returns the payload of a `resume`: the last seq of each thread that the server may know. */
  resumable() {
    const threads = {};
    for (const [threadId, cursor] of this.byThread) {
      if (cursor.exists && !cursor.held) threads[threadId] = cursor.seq;
    }
    return threads;
  }
}

// The read position of each thread, acknowledged at most once a second, and only if it moved.

const PAUSE_MS = 1_000;

export class Acks {
  /** `send(command)` is true when it left; `timeouts` are timers by purpose. */
  constructor({ send, timeouts }) {
    this.send = send;
    this.timeouts = timeouts;
    this.acked = new Map();
    this.pending = new Map();
  }

  /** Notes that everything up to `seq` stands on the screen. */
  shown(threadId, seq) {
    if (!(seq > (this.acked.get(threadId) ?? 0)) || seq <= (this.pending.get(threadId) ?? 0)) return;
    this.pending.set(threadId, seq);
    if (!this.timeouts.has("ack")) this.#flush();
  }

  forget(threadId) {
    this.acked.delete(threadId);
    this.pending.delete(threadId);
  }

  #flush() {
    for (const [threadId, seq] of this.pending) {
      if (!this.send({ type: "ack", payload: { thread_id: threadId, seq } })) break;
      this.acked.set(threadId, seq);
      this.pending.delete(threadId);
    }
    this.timeouts.set("ack", PAUSE_MS, () => this.pending.size > 0 && this.#flush());
  }
}
