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
