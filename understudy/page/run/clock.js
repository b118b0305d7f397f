/** One timer for every elapsed time on the page; it stands still while nothing is running. */

import { setText } from "../elements/dom.js";
import { duration } from "../client/format.js";

const TICK_MS = 200;

export class Clock {
  constructor() {
    this.running = new Map(); // element -> server time it counts from, or {until, say}
    this.ahead = 0; // how far the server's clock is ahead of ours, in ms
    this.timer = null;
  }

  /** Takes the server's time from a frame that has just come. */
  align(serverMs) {
    if (serverMs > 0) this.ahead = serverMs - Date.now();
  }

  /** The server's time now. */
  now() {
    return Date.now() + this.ahead;
  }

  /** Lets `element` count from `since` (server ms) until it leaves the page or is stopped. */
  count(element, since) {
    this.running.set(element, since);
    setText(element, duration(Math.max(this.now() - since, 0)));
    this.timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  /** Lets `element` count down to `until` (server ms), with `say(ms left)` as its text; at the end 0 is left. */
  countDown(element, until, say) {
    this.running.set(element, { until, say });
    setText(element, say(Math.max(until - this.now(), 0)));
    this.timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  stop(element) {
    this.running.delete(element);
  }

  #tick() {
    const now = this.now();
    for (const [element, since] of this.running) {
      if (!element.isConnected) this.running.delete(element);
      else if (since.say) setText(element, since.say(Math.max(since.until - now, 0)));
      else setText(element, duration(Math.max(now - since, 0)));
    }
    if (this.running.size > 0) return;
    clearInterval(this.timer);
    this.timer = null;
  }
}
