/** The read position of each thread, acknowledged at most once a second, and only if it moved. */

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
