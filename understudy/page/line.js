/** One socket from its handshake to its end: frames in, commands out, and the certainty that it still lives. */

import { subprotocols } from "./closing.js";

const OPEN = 1;
const LOST = 1006;
const WELCOME_MS = 10_000; // a handshake or first frame slower than this counts as lost
const PROBE_MS = 6_000; // an answer to an application ping slower than this means a dead line

/** Timers by purpose: setting one again replaces it. */
export class Waits {
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

export class Line {
  /** `onOpen()`, `onEvents(list)` and `onLost(closeCode)` are called until `drop()`; `onLost` at most once. */
  constructor({ url, token, WebSocket, timers, now, heartbeatMs, onOpen, onEvents, onLost }) {
    Object.assign(this, { now, heartbeatMs, onEvents, onLost, resumed: new Set(), opened: false });
    this.waits = new Waits(timers);
    this.socket = new WebSocket(url, subprotocols(token));
    this.socket.onopen = () => {
      this.opened = true;
      onOpen();
    };
    this.socket.onmessage = ({ data }) => this.#frame(data);
    this.socket.onclose = ({ code }) => this.#end(code);
    this.socket.onerror = () => {}; // a close follows every error
    this.waits.set("alive", WELCOME_MS, () => this.#end(LOST));
  }

  /** True when the command was handed to an open socket. */
  send(command) {
    if (this.socket.readyState !== OPEN) return false;
    this.socket.send(JSON.stringify(command));
    return true;
  }

  /** Asks for a sign of life; without one the line is lost. */
  ping() {
    this.waits.set("alive", PROBE_MS, () => this.#end(LOST));
    this.send({ type: "ping", payload: { nonce: String(this.now()) } });
  }

  /** Lets go of the socket without a word to anyone. */
  drop() {
    this.waits.clearAll();
    const { socket } = this;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #frame(text) {
    this.waits.set("alive", this.heartbeatMs, () => this.ping());
    let parsed;
    try {
      parsed = JSON.parse(text);
    } catch {
      return; // every frame of this dialect is JSON: not ours
    }
    this.onEvents(Array.isArray(parsed) ? parsed : [parsed]);
  }

  #end(code) {
    this.drop();
    this.onLost(code);
  }
}
