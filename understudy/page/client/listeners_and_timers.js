/** Listeners by the name of what they listen to, and timers by their purpose. */

/**
 * Listeners by the name of what they listen to.
 *
 * Events that a listener causes are queued behind the current one, so every listener gets all in the same order and
 * none is called while it runs. A listener that throws does not stop the others; its error goes to the console.
 */
export class Listeners {
  constructor() {
    this.byName = new Map();
    this.queue = []; // [name, value] not yet delivered, in order
    this.emitting = false;
  }

  /** Calls `listener` at each event of that name; the function that comes back takes it away again. */
  on(name, listener) {
    if (!this.byName.has(name)) this.byName.set(name, new Set());
    this.byName.get(name).add(listener);
    return () => this.byName.get(name).delete(listener);
  }

  emit(name, value) {
    this.queue.push([name, value]);
    if (this.emitting) return;
    this.emitting = true;
    while (this.queue.length > 0) this.#call(...this.queue.shift());
    this.emitting = false;
  }

  #call(name, value) {
    for (const listener of this.byName.get(name) ?? []) {
      try {
        listener(value);
      } catch (fault) {
        queueMicrotask(() => { throw fault; }); // uncaught, as the error of any event listener is
      }
    }
  }
}

/** The timers of browsers and Node, as everything here takes them: {set(work, ms), clear(timer)}. */
export const REAL_TIMERS = { set: (work, ms) => setTimeout(work, ms), clear: (timer) => clearTimeout(timer) };

/** Timers by purpose: setting one again replaces it. */
export class Timers {
  /** `timers` is {set(work, ms), clear(timer)}. */
  constructor(timers) {
    this.timers = timers;
    this.running = new Map();
  }

  set(purpose, ms, work) {
    this.clear(purpose);
    this.running.set(purpose, this.timers.set(() => {
      this.running.delete(purpose);
      work();
    }, Math.min(ms, 2 ** 31 - 1)));
  }

  has(purpose) {
    return this.running.has(purpose);
  }

  clear(purpose) {
    if (this.running.has(purpose)) this.timers.clear(this.running.get(purpose));
    this.running.delete(purpose);
  }

  clearAll() {
    for (const purpose of [...this.running.keys()]) this.clear(purpose);
  }
}
