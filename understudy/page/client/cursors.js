/**
 * Where each followed thread stands: the one rule that makes loss, repeats and reconnects harmless.
 *
 * A durable event is taken when its `seq` is the cursor's successor, dropped when the cursor is already there,
 * and a gap (the thread must be resumed) when it lies further on. Events without `seq` are taken.
 */
export class Cursors {
  constructor() {
    this.places = new Map();
  }

  /** Follows a thread from the event after `seq`. `exists`: the server may know it, so it can be resumed. */
  follow(threadId, seq = 0, exists = true) {
    this.places.set(threadId, { seq, exists, behind: false });
  }

  unfollow(threadId) {
    this.places.delete(threadId);
  }

  has(threadId) {
    return this.places.has(threadId);
  }

  seq(threadId) {
    return this.places.get(threadId)?.seq ?? 0;
  }

  /** Records that the server knows the thread. */
  exists(threadId) {
    const place = this.places.get(threadId);
    if (place) place.exists = true;
  }

  /** Sets the cursor where a trimmed log goes on. */
  jump(threadId, seq) {
    const place = this.places.get(threadId);
    if (place) Object.assign(place, { seq, behind: false });
  }

  /** Gaps noticed on a connection that is gone mean nothing on the next one. */
  reconnected() {
    for (const place of this.places.values()) place.behind = false;
  }

  /**
   * "take", "duplicate", "foreign" (a thread that is not followed), "gap" (resume now) or "behind" (already
   * asked for). Taking an event moves the cursor.
   */
  judge(event) {
    if (!event.thread_id) return "take";
    const place = this.places.get(event.thread_id);
    if (!place) return "foreign";
    if (!Number.isInteger(event.seq)) return "take";
    if (event.seq <= place.seq) return "duplicate";
    if (event.seq > place.seq + 1) {
      const verdict = place.behind ? "behind" : "gap";
      place.behind = true;
      return verdict;
    }
    Object.assign(place, { seq: event.seq, behind: false, exists: true });
    return "take";
  }

  /** What a `resume` says: last seq by thread, of the threads the server may know. */
  resumable() {
    const threads = {};
    for (const [threadId, place] of this.places) {
      if (place.exists) threads[threadId] = place.seq;
    }
    return threads;
  }
}
