/** The read position of each thread, acknowledged at most once a second, and only if it moved. */

const PAUSE_MS = 1_000;

export class Acks {
  /** `send(command)` is true when it left; `waits` are timers by purpose. */
  constructor({ send, waits }) {
    Object.assign(this, { send, waits, told: new Map(), due: new Map() });
  }

  /** Notes that everything up to `seq` stands on the screen. */
  shown(threadId, seq) {
    if (!(seq > (this.told.get(threadId) ?? 0)) || seq <= (this.due.get(threadId) ?? 0)) return;
    this.due.set(threadId, seq);
    if (!this.waits.has("ack")) this.#tell();
  }

  forget(threadId) {
    this.told.delete(threadId);
    this.due.delete(threadId);
  }

  #tell() {
    for (const [threadId, seq] of this.due) {
      if (!this.send({ type: "ack", payload: { thread_id: threadId, seq } })) break;
      this.told.set(threadId, seq);
      this.due.delete(threadId);
    }
    this.waits.set("ack", PAUSE_MS, () => this.due.size > 0 && this.#tell());
  }
}
