/**
 * Opening threads by their last page: it is read over REST, and the thread is followed from the event after it.
 *
 * Until the page has come, the events of the thread are ignored: the resume from the page's `seq` gets them again. If
 * it does not come in time, or the server cannot give it, the thread is followed from what is known, as without pages.
 */

import { ApiError } from "../api.js";
import { older } from "./branches.js";
import { gapBefore, inOrder } from "./page_placement.js";
import { readPage, stepsOf } from "./turn_pages.js";

const READ_MS = 5_000;
const OLDER = 50; // turns of an older page
const MISSED = 1_000; // events that are held while an older page is under way; beyond, the page is read again
const RUN_PAGES = 20; // pages of a run's events
const GAP_PAGES = 20; // older pages that are read to join what is shown

export class Pages {
  /**
   * `api` has `turns` and `runEvents`, `threads` holds states, `subscriptions` follows threads; `isOnline()`: commands
   * can be sent; `readsAbove(threadId)`: somebody reads turns before the end; `onMissing(threadId)`: the server has no such thread of this user; `onFault(error)`.
   */
  constructor({ api, threads, subscriptions, timeouts, isOnline, readsAbove, onMissing, onFault }) {
    this.api = api;
    this.threads = threads;
    this.subscriptions = subscriptions;
    this.timeouts = timeouts;
    this.isOnline = isOnline;
    this.readsAbove = readsAbove;
    this.onMissing = onMissing;
    this.onFault = onFault;
    this.unread = new Set(); // threads whose last page is still to be read
    this.reading = new Map(); // thread id -> mark of the reading that counts
    this.missed = new Map(); // thread id -> events that came while an older page is under way
  }

  /** Reads the last page of a thread, and follows it from there. */
  open(threadId) {
    this.unread.add(threadId);
    this.reading.delete(threadId);
    this.subscriptions.hold(threadId);
  }

  /** Reads the last page of a thread once more, unless that is under way. */
  reopen(threadId) {
    if (this.unread.has(threadId)) return;
    this.open(threadId);
    this.readAll();
  }

  forget(threadId) {
    this.unread.delete(threadId);
    this.reading.delete(threadId);
    this.missed.delete(threadId);
    this.timeouts.clear(`page ${threadId}`);
  }

  /** Reads what is still to be read. */
  readAll() {
    for (const threadId of this.unread) if (!this.reading.has(threadId)) this.#read(threadId);
  }

  /** Remembers events of threads of which an older page is under way. */
  note(events) {
    for (const event of events) {
      const missed = Number.isInteger(event.seq) ? this.missed.get(event.thread_id) : undefined;
      if (missed && missed.length <= MISSED) missed.push(event);
    }
  }

  /** Reads the turns before those that are shown. Resolves to whether there were any; rejects as the API does. */
  async older(threadId) {
    const state = this.threads.state(threadId);
    const before = state && older(state);
    if (!before || this.missed.has(threadId)) return false;
    const page = await this.#page(threadId, { before, limit: OLDER }, { compact: true });
    if (page) this.threads.apply([{ type: "local.older", thread_id: threadId, data: { ...page, before } }]);
    return page !== null && page.turns.length > 0;
  }

  /** Reads the branch through a turn that is known by name, and shows it. Rejects as the API does. */
  async branch(threadId, runId) {
    const page = await this.#page(threadId, { through: runId });
    if (page) this.threads.apply([{ type: "local.older", thread_id: threadId, data: page }]);
  }

  /** Reads the steps of a turn whole. Rejects as the API does. */
  async details(threadId, runId) {
    const turn = this.threads.state(threadId)?.turns.find((one) => one.runId === runId);
    if (!turn?.omitted) return;
    const events = [];
    for (const one of [...turn.earlier, turn.runId]) events.push(...await this.#eventsOf(one));
    this.threads.apply([{ type: "local.steps", thread_id: threadId, data: { key: turn.key, steps: stepsOf(threadId, turn, events) } }]);
  }

  async #eventsOf(runId) {
    const events = [];
    let more = true;
    for (let page = 0; more && page < RUN_PAGES; page += 1) {
      const read = await this.api.runEvents(runId, events.at(-1)?.seq ?? 0);
      events.push(...read.events);
      more = read.more;
    }
    return events;
  }

  async #page(threadId, which, how = {}, again = true) {
    const missed = [];
    this.missed.set(threadId, missed);
    try {
      const page = await this.api.turns(threadId, which);
      if (this.missed.get(threadId) !== missed) return null; // the thread was let go of, or opened anew
      if (missed.length <= MISSED) return readPage(threadId, page, missed, how);
    } finally {
      if (this.missed.get(threadId) === missed) this.missed.delete(threadId);
    }
    return again ? this.#page(threadId, which, how, false) : null;
  }

  async #read(threadId) {
    const mark = Symbol(threadId);
    this.reading.set(threadId, mark);
    this.#allow(threadId, mark);
    let page;
    try {
      page = readPage(threadId, await this.api.turns(threadId));
      if (this.readsAbove(threadId) || this.threads.state(threadId)?.leaf) page = await this.#joined(threadId, mark, page);
    } catch (fault) {
      this.#failed(threadId, mark, fault);
      return;
    }
    if (!this.#done(threadId, mark)) return;
    this.unread.delete(threadId);
    this.missed.delete(threadId);
    this.threads.apply([{ type: "local.page", thread_id: threadId, data: page }]);
    this.#follow(threadId);
  }

  /** A last page with those before it, back to what is shown: somebody reads there, and it must not go. */
  async #joined(threadId, mark, page) {
    let whole = page;
    for (let reads = 0; reads < GAP_PAGES && this.reading.get(threadId) === mark; reads += 1) {
      const before = gapBefore(this.threads.state(threadId), whole);
      if (before === null) break;
      this.#allow(threadId, mark);
      const { turns, ratings, answers } = readPage(threadId, await this.api.turns(threadId, { before, limit: OLDER }), [], { until: page.seq });
      const known = new Set(whole.turns.filter(({ stub }) => !stub).map(({ runId }) => runId));
      const names = new Set(turns.filter(({ stub }) => !stub).map(({ runId }) => runId));
      whole = {
        ...whole, ratings: { ...ratings, ...whole.ratings }, answers: [...answers, ...whole.answers],
        turns: [...turns.filter(({ runId }) => !known.has(runId)), ...whole.turns.filter(({ runId }) => known.has(runId) || !names.has(runId))].sort(inOrder),
      };
      if (turns.length === 0) break;
    }
    return whole;
  }

  #allow(threadId, mark) {
    this.timeouts.set(`page ${threadId}`, READ_MS, () => this.#failed(threadId, mark, null));
  }

  /** Whether this reading counts, which is over with this. */
  #done(threadId, mark) {
    if (this.reading.get(threadId) !== mark) return false;
    this.reading.delete(threadId);
    this.timeouts.clear(`page ${threadId}`);
    return true;
  }

  #failed(threadId, mark, fault) {
    if (!this.#done(threadId, mark)) return;
    if (fault?.status === 404) {
      this.unread.delete(threadId);
      this.subscriptions.follow(threadId, 0, { fresh: true });
      this.onMissing(threadId);
    } else if (this.isOnline()) {
      if (this.threads.state(threadId)?.resync !== null) { // what is known is worth nothing, so the log cannot help
        this.onFault(fault ?? new ApiError(0, { code: "offline" }));
        return;
      }
      this.unread.delete(threadId);
      this.#follow(threadId);
    } // else it is read with the next connection
  }

  #follow(threadId) {
    const state = this.threads.state(threadId);
    if (state) this.subscriptions.follow(threadId, state.seq);
  }
}
