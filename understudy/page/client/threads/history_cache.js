/**
 * Stores the recent past of threads, so that a reload shows it at once, also without a network.
 *
 * One storage key a thread: when it was kept, and the conversation as JSON. All of it can be read again from the
 * server, so it is bounded, gives way to what cannot, and is dropped when another user comes.
 */

import { isPending, LIVE } from "./turns.js";
import { EMPTY_STREAM } from "./stream.js";

const PREFIX = "understudy.history.";
const VERSION = 4; // of the shape of a conversation: what another version kept is not read
const THREAD_UNITS = 256 * 1024; // UTF-16 units of one thread; beyond that its older turns are left out
const ALL_UNITS = 2 * 1024 * 1024;
const MAX_THREADS = 24;
const FRAME_UNITS = 100; // of what stands around a state

export class HistoryCache {
  /** `storage` is a `safeStorage`; `now()` in milliseconds. */
  constructor(storage, { now = () => Date.now(), threadUnits = THREAD_UNITS, allUnits = ALL_UNITS, maxThreads = MAX_THREADS } = {}) {
    this.storage = storage;
    this.now = now;
    this.limits = { threadUnits, allUnits, maxThreads };
    this.texts = new WeakMap();
    storage.onFull = () => this.#dropOldest();
  }

  /** The conversation as it was kept, or null. `cut` says that older turns are left out. */
  read(threadId) {
    try {
      const { version, state } = JSON.parse(body(this.storage.getItem(PREFIX + threadId)));
      if (version !== VERSION || state.threadId !== threadId || !Array.isArray(state.turns)) return null;
      return { ...state, turns: state.turns.map((turn) => ({ ...turn, stream: turn.stream ?? EMPTY_STREAM })) };
    } catch {
      return null; // nothing was kept, or not by this version
    }
  }

  /** Keeps a conversation, as much of its end as fits. */
  write(state) {
    const { allUnits, maxThreads } = this.limits;
    const text = `${this.now()}|${this.#text(state)}`;
    while (!this.storage.offer(PREFIX + state.threadId, text) && this.#dropOldest(state.threadId));
    for (let all = this.#all(); all.length > maxThreads || sum(all) > allUnits; all = this.#all()) {
      if (!this.#dropOldest(state.threadId)) break;
    }
  }

  /** JSON from the last turn backwards, as far as there is room. A turn that did not change is not written anew. */
  #text({ turns, ...rest }) {
    const kept = [];
    let room = this.limits.threadUnits - JSON.stringify(rest).length - FRAME_UNITS;
    let cut = rest.cut;
    for (const turn of turns.filter((one) => !isPending(one) || one.status === "rejected").reverse()) {
      if (!this.texts.has(turn)) this.texts.set(turn, JSON.stringify(slim(turn)));
      room -= this.texts.get(turn).length + 1;
      if (room < 0) {
        cut = true;
        break;
      }
      kept.push(this.texts.get(turn));
    }
    const head = JSON.stringify({ ...rest, resync: null, cut }).slice(0, -1);
    return `{"version":${VERSION},"state":${head},"turns":[${kept.reverse().join(",")}]}}`;
  }

  /** The ids of the threads that are kept. */
  get ids() {
    return this.storage.keys(PREFIX).map((key) => key.slice(PREFIX.length));
  }

  forget(threadId) {
    this.storage.removeItem(PREFIX + threadId);
  }

  clear() {
    for (const key of this.storage.keys(PREFIX)) this.storage.removeItem(key);
  }

  /** {key, at, units} of everything kept. Asked of the storage each time, as other tabs write too. */
  #all() {
    return this.storage.keys(PREFIX).map((key) => {
      const text = this.storage.getItem(key) ?? "";
      return { key, at: Number.parseInt(text, 10) || 0, units: text.length };
    });
  }

  #dropOldest(except = null) {
    const [oldest] = this.#all().filter(({ key }) => key !== PREFIX + except).sort((one, other) => one.at - other.at);
    if (oldest) this.storage.removeItem(oldest.key);
    return oldest !== undefined;
  }
}

function body(text) {
  return text === null ? "null" : text.slice(text.indexOf("|") + 1);
}

function sum(all) {
  return all.reduce((units, one) => units + one.units, 0);
}

/** A turn without what comes again or is only there while it is written. */
function slim(turn) {
  const { stream, ...rest } = turn;
  const unwritten = turn.final && !turn.final.message;
  if (!turn.final && !LIVE.has(turn.status) && stream.text !== "") rest.stream = stream; // nothing else has this text
  return { ...rest, progress: null, stopping: false, ...(unwritten && { final: { ...turn.final, message: stream.text } }) };
}
