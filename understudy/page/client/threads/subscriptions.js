/** Subscriptions to threads across reconnections: each event once, in order; gaps are requested again. */

import { Cursors } from "./cursors.js";
import { isRefusal } from "../sending/delivery.js";

const RESUMED_AT_ONCE = 100; // threads the server takes in one `resume`
const OF_LIST = new Set(["thread_changed", "thread_titled"]); // what they say is not in the page of a thread that is held

export class Subscriptions {
  /**
   * `send(command)` is true when it left. `onEvent(event)` handles one and gives the event to be
   * shown, or null; `onEvents(list)` shows; `onForeign(event)` gets those of threads that are not followed.
   */
  constructor({ send, onEvent, onEvents, onForeign }) {
    this.send = send;
    this.onEvent = onEvent;
    this.onEvents = onEvents;
    this.onForeign = onForeign;
    this.cursors = new Cursors();
    this.resumed = new Set();
    this.watched = new Set();
    this.lastSeqs = new Map();
  }

  /** Resume all threads on a new connection, each after its cursor. */
  opened() {
    this.cursors.reconnected();
    this.resumed.clear();
    this.watched.clear();
    this.lastSeqs.clear();
    this.resumeAll();
  }

  /** Resume all threads again, after a `resume` was refused for now. */
  resumeAll() {
    this.#resume(this.cursors.resumable());
  }

  /** The last `seq` of a thread that this connection has carried, 0 when there is none. */
  carried(threadId) {
    return this.lastSeqs.get(threadId) ?? 0;
  }

  has(threadId) {
    return this.cursors.has(threadId);
  }

  /** The last `seq` of a thread, 0 when there is none. */
  seq(threadId) {
    return this.cursors.seq(threadId);
  }

  /** Follows a thread from the event after `seq`. `fresh`: a thread the server cannot know yet. */
  follow(threadId, seq = 0, { fresh = false } = {}) {
    this.cursors.follow(threadId, seq, !fresh);
    if (!fresh) this.#resume({ [threadId]: seq });
  }

  /** Takes no event of a thread until it is followed again: its state is read in another way. */
  hold(threadId) {
    this.cursors.hold(threadId);
  }

  unfollow(threadId) {
    this.cursors.unfollow(threadId);
  }

  /** Has this connection get the events of threads that are not followed here, {thread_id: seq}: they are foreign. */
  watch(threads) {
    const fresh = Object.entries(threads).filter(([threadId]) => !this.cursors.has(threadId) && !this.watched.has(threadId));
    for (const [threadId] of fresh) this.watched.add(threadId);
    this.#resume(Object.fromEntries(fresh), false);
  }

  /** Request everything after the cursor again; streamed text starts over. */
  resync(threadId) {
    if (this.cursors.isHeld(threadId)) return;
    this.#resume({ [threadId]: this.cursors.seq(threadId) });
  }

  /** Goes on after `seq`: the history up to it was read in another way. */
  jump(threadId, seq) {
    this.lastSeqs.delete(threadId);
    this.cursors.jump(threadId, seq);
  }

  /** The server has the thread. Where it was not resumed on this connection, what came between may be missing. */
  exists(threadId, { doubtful = false } = {}) {
    this.cursors.exists(threadId);
    if (doubtful && !this.resumed.has(threadId)) this.resync(threadId);
  }

  take(events) {
    const shown = [];
    for (const event of events) {
      // A refusal answers this connection alone: it counts also for a thread that is not followed.
      const verdict = isRefusal(event) ? "take" : this.cursors.judge(event);
      if (Number.isInteger(event.seq) && verdict !== "held") this.lastSeqs.set(event.thread_id, event.seq);
      if (verdict === "gap") this.resync(event.thread_id);
      if (verdict === "foreign" || (verdict === "held" && OF_LIST.has(event.type))) this.onForeign(event);
      const one = this.onEvent(event, verdict === "take");
      if (one && verdict === "take") shown.push(one);
    }
    if (shown.length > 0) this.onEvents(shown);
  }

  #resume(threads, followed = true) {
    const all = Object.entries(threads);
    for (let at = 0; at < all.length; at += RESUMED_AT_ONCE) {
      const part = all.slice(at, at + RESUMED_AT_ONCE);
      if (!this.send({ type: "resume", payload: { threads: Object.fromEntries(part) } })) return;
      for (const [threadId] of followed ? part : []) this.resumed.add(threadId);
    }
  }
}
