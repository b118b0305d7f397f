/** The threads this client holds in memory, each a `conversation` state. */

import { emptyConversation, reduce } from "./conversation.js";
import { hasHole, liveTurn } from "./turns.js";
import { ratingsIn } from "./history_turns.js";

const HELD = 12; // more are let go of, and read again when they are opened
const MAX_TURNS = 1_000; // of one thread in memory; beyond that the oldest fifth goes, and `cut` says so
const MAX_PAGED = 10_000; // the same where what went can be read again
const LEFT = 100; // turns of a thread that is not open any more, if it can be read again
const KEEP_MS = 1_000; // what changed is stored so much later, with all that changes meanwhile

export class Threads {
  /**
   * `subscriptions` follows threads, `history` keeps them, `waiting(threadId)` gives what waits there as events;
   * `onChange(threadId, state, events)` is called once a thread and frame, `onRelease(threadId)` when one is let go of;
   * `readHistory(threadId)` resolves to its messages, `readLatest(threadId)` to the last of them, and `onFault(error)`
   * hears that the past could not be read. With `pages`, which is set later, threads are opened by their last page.
   */
  constructor({ subscriptions, history, timeouts, waiting, readHistory, readLatest, onChange, onRelease, onFault }) {
    this.subscriptions = subscriptions;
    this.history = history;
    this.timeouts = timeouts;
    this.waiting = waiting;
    this.readHistory = readHistory;
    this.readLatest = readLatest;
    this.onChange = onChange;
    this.onRelease = onRelease;
    this.onFault = onFault;
    this.pages = null;
    this.states = new Map(); // least recently opened first
    this.behind = new Map(); // thread id -> the state by the log so far, if only the end of a thread was cached
    this.repairing = new Set(); // threads whose streamed text was asked for again
    this.reading = new Set(); // threads whose history is being read
    this.ratingsToRead = new Set(); // threads whose thumbs, which no log has, are still to be read
    this.dirty = new Set();
    this.current = null;
  }

  state(threadId) {
    return this.states.get(threadId) ?? null;
  }

  /** Opens a thread: from memory, from what was kept, or from its first event on. `fresh`: one the server cannot know. */
  open(threadId, { fresh = false } = {}) {
    if (this.pages && this.current !== threadId) this.#shorten(this.current);
    this.current = threadId;
    const held = this.states.get(threadId);
    if (held) {
      this.states.delete(threadId);
      this.states.set(threadId, held);
      return held;
    }
    const cached = fresh ? null : this.history.read(threadId);
    const state = this.#withQueued(cached ?? emptyConversation(threadId));
    this.states.set(threadId, state);
    if (this.pages && !fresh) {
      this.subscriptions.follow(threadId, state.seq, { fresh: true });
      this.pages.open(threadId);
      this.#evict();
      return state;
    }
    if (cached?.cut) this.behind.set(threadId, this.#withQueued(emptyConversation(threadId)));
    this.subscriptions.follow(threadId, cached && !cached.cut ? cached.seq : 0, { fresh });
    if (!fresh) this.ratingsToRead.add(threadId);
    this.#evict();
    return state;
  }

  /** Reads the thumbs that are still to be read: there is a connection. */
  async readRatings() {
    for (const threadId of [...this.ratingsToRead]) {
      this.ratingsToRead.delete(threadId);
      try {
        const ratings = ratingsIn(await this.readLatest(threadId));
        this.apply([{ type: "local.ratings", thread_id: threadId, data: { ratings } }]);
      } catch {
        this.ratingsToRead.add(threadId); // with the next connection
      }
    }
  }

  /** {state, turn, approval} of the call with this id while it asks for approval; null when it does not. */
  pendingApproval(callId) {
    for (const state of this.states.values()) {
      for (const turn of state.turns) {
        const step = turn.steps.find((one) => one.callId === callId && one.approval?.state === "open");
        if (step) return { state, turn, approval: step.approval };
      }
    }
    return null;
  }

  /** The state and the turn with this key, run or message; null when it is not held. */
  find(name) {
    for (const state of this.states.values()) {
      const turn = state.turns.find((one) => one.key === name || one.runId === name) ?? state.turns.findLast((one) => one.messageId === name);
      if (turn) return { state, turn };
    }
    return null;
  }

  /** The ids of all threads of which events are held or kept here. */
  get known() {
    const held = [...this.states.values()].filter(({ seq }) => seq > 0).map(({ threadId }) => threadId);
    return [...new Set([...held, ...this.history.ids])];
  }

  forget(threadId) {
    this.#release(threadId);
    this.history.forget(threadId);
  }

  /** Forgets everything: another user has come. */
  clear() {
    for (const threadId of [...this.states.keys()]) this.forget(threadId);
    this.history.clear();
  }

  apply(events) {
    const changed = new Map();
    for (const event of events) {
      const { thread_id: threadId } = event;
      const before = this.states.get(threadId);
      if (!before) continue;
      const after = this.#reduced(threadId, before, event);
      if (after === before && event.type.startsWith("local.")) continue; // a listener that did it at each change would go on for ever
      this.states.set(threadId, after);
      if (Number.isInteger(event.seq) || event.type === "local.page") this.dirty.add(threadId);
      if (!changed.has(threadId)) changed.set(threadId, []);
      changed.get(threadId).push(event);
    }
    for (const [threadId, news] of changed) {
      const state = this.states.get(threadId);
      this.#repair(threadId, state);
      this.onChange(threadId, state, news);
    }
    if (this.dirty.size > 0 && !this.timeouts.has("keep")) this.timeouts.set("keep", KEEP_MS, () => this.persist());
  }

  /** Has the last pages of all threads read anew, if threads are opened by pages: much may have happened in them. */
  reread() {
    for (const { threadId, seq } of this.pages ? this.states.values() : []) if (seq > 0) this.pages.open(threadId);
  }

  /** Stores what changed since the last time. */
  persist() {
    for (const threadId of this.dirty) {
      if (this.states.has(threadId) && !this.behind.has(threadId)) this.history.write(this.states.get(threadId));
    }
    this.dirty.clear();
  }

  #reduced(threadId, before, event) {
    const behind = this.behind.get(threadId);
    if (!behind) return shortened(reduce(before, event), this.pages ? MAX_PAGED : MAX_TURNS);
    const caughtUp = reduce(behind, event);
    const state = reduce(before, event);
    if (caughtUp.seq < before.seq) {
      this.behind.set(threadId, caughtUp);
      return state;
    }
    this.behind.delete(threadId);
    return shortened(caughtUp, MAX_TURNS);
  }

  /** Lets go of the older turns of a thread that is left. */
  #shorten(threadId) {
    const state = this.states.get(threadId);
    if (!state || liveTurn(state) || state.turns.length <= LEFT) return;
    this.states.set(threadId, { ...state, turns: state.turns.slice(-LEFT), leaf: null, cut: true });
  }

  #withQueued(state) {
    return this.waiting(state.threadId).reduce(reduce, state);
  }

  /** A hole in streamed text is filled by a snapshot; a trimmed log is replaced by the history. */
  #repair(threadId, state) {
    if (state.resync !== null && this.pages) this.pages.reopen(threadId);
    else if (state.resync !== null) this.#replaceByHistory(threadId, state.resync);
    const holed = hasHole(state);
    if (holed && !this.repairing.has(threadId)) this.subscriptions.resync(threadId);
    if (holed) this.repairing.add(threadId);
    else this.repairing.delete(threadId);
  }

  async #replaceByHistory(threadId, lastSeq) {
    if (this.reading.has(threadId)) return;
    this.reading.add(threadId);
    try {
      const messages = await this.readHistory(threadId);
      this.subscriptions.jump(threadId, lastSeq);
      this.behind.delete(threadId);
      this.apply([{ type: "local.history", thread_id: threadId, data: { messages, last_seq: lastSeq } }]);
      this.subscriptions.resync(threadId);
    } catch (fault) {
      this.onFault(fault);
    } finally {
      this.reading.delete(threadId);
    }
  }

  #evict() {
    for (const [threadId, state] of this.states) {
      if (this.states.size <= HELD) return;
      if (threadId === this.current || liveTurn(state)) continue;
      this.persist();
      this.#release(threadId);
    }
  }

  #release(threadId) {
    for (const held of [this.states, this.behind, this.repairing, this.dirty, this.ratingsToRead]) held.delete(threadId);
    this.subscriptions.unfollow(threadId);
    this.pages?.forget(threadId);
    this.onRelease(threadId);
  }
}

function shortened(state, most) {
  if (state.turns.length <= most) return state;
  return { ...state, turns: state.turns.slice(Math.ceil(most / 5)), cut: true };
}
