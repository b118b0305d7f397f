/** The threads this page holds in memory, each a `conversation` state fed by the client. */

import { emptyConversation, hasHole, liveTurn, reduce } from "./conversation.js";

const HELD = 12; // more are let go of, and read again from the log when they are opened

export class Threads {
  /** `onChange(threadId, state, events)` is called once a frame of events and thread. */
  constructor({ client, api, onChange, onFault }) {
    Object.assign(this, { client, api, onChange, onFault });
    this.states = new Map(); // least recently opened first
    this.healing = new Set();
    this.current = null;
    client.on("events", (events) => this.apply(events));
  }

  state(threadId) {
    return this.states.get(threadId) ?? null;
  }

  /** Opens a thread: from memory, or from its first event on. `fresh`: one the server cannot know yet. */
  open(threadId, { fresh = false } = {}) {
    this.current = threadId;
    const held = this.states.get(threadId);
    if (held) {
      this.states.delete(threadId);
      this.states.set(threadId, held);
      return held;
    }
    let state = emptyConversation(threadId);
    for (const { payload, at } of this.client.outbox.waiting(threadId)) {
      state = reduce(state, { type: "local.said", thread_id: threadId, data: { ...payload, at } });
    }
    this.states.set(threadId, state);
    this.client.follow(threadId, 0, { fresh });
    this.#letGo();
    return state;
  }

  forget(threadId) {
    this.states.delete(threadId);
    this.client.unfollow(threadId);
  }

  apply(events) {
    const changed = new Map();
    for (const event of events) {
      const before = this.states.get(event.thread_id);
      if (!before) continue;
      this.states.set(event.thread_id, reduce(before, event));
      if (!changed.has(event.thread_id)) changed.set(event.thread_id, []);
      changed.get(event.thread_id).push(event);
    }
    for (const [threadId, news] of changed) {
      const state = this.states.get(threadId);
      this.#heal(threadId, state);
      this.onChange(threadId, state, news);
    }
  }

  /** A hole in streamed text is filled by a snapshot; a trimmed log is replaced by the history. */
  #heal(threadId, state) {
    if (state.resync !== null) this.#readHistory(threadId, state.resync);
    const holed = hasHole(state);
    if (holed && !this.healing.has(threadId)) this.client.resync(threadId);
    if (holed) this.healing.add(threadId);
    else this.healing.delete(threadId);
  }

  async #readHistory(threadId, lastSeq) {
    try {
      const messages = await this.api.history(threadId);
      this.client.jump(threadId, lastSeq);
      this.apply([{ type: "local.history", thread_id: threadId, data: { messages, last_seq: lastSeq } }]);
      this.client.resync(threadId);
    } catch (fault) {
      this.onFault(fault);
    }
  }

  #letGo() {
    for (const [threadId, state] of this.states) {
      if (this.states.size <= HELD) return;
      if (threadId === this.current || liveTurn(state) || this.client.outbox.waiting(threadId).length > 0) continue;
      this.forget(threadId);
    }
  }
}
