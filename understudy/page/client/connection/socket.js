/** One WebSocket from handshake to close: frames in, commands out, and liveness checks. */

import { inChunks } from "./chunks.js";
import { subprotocols } from "./close_codes.js";
import { toJson } from "../ids.js";
import { FrameReader } from "./frame_reader.js";
import { Timers } from "../listeners_and_timers.js";

const OPEN = 1;
const LOST = 1006;
const WELCOME_MS = 10_000; // a handshake or first frame slower than this counts as lost
const PROBE_MS = 6_000; // an answer to an application ping slower than this means a dead connection

export class Socket {
  /** `onOpen()`, `onEvents(list)` and `onLost(closeCode)` are called until `drop()`; `onLost` at most once. */
  constructor({ url, token, WebSocket, timers, now, heartbeatMs, onOpen, onEvents, onLost }) {
    this.now = now;
    this.heartbeatMs = heartbeatMs;
    this.onLost = onLost;
    this.resumed = new Set();
    this.opened = false;
    this.chunkBytes = Infinity;
    this.sent = 0;
    this.heardAt = null;
    this.timeouts = new Timers(timers);
    this.reader = new FrameReader({ onEvents, onBroken: () => this.#end(LOST) });
    this.socket = new WebSocket(url, subprotocols(token));
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.opened = true;
      onOpen();
    };
    this.socket.onmessage = ({ data }) => {
      this.heardAt = now();
      this.timeouts.set("alive", this.heartbeatMs, () => this.ping());
      this.reader.take(data);
    };
    this.socket.onclose = ({ code }) => this.#end(code);
    this.socket.onerror = () => {}; // a close follows every error
    this.timeouts.set("alive", WELCOME_MS, () => this.#end(LOST));
  }

  /** True when the command was handed to an open socket, in one frame or, beyond `chunkBytes`, in several. */
  send(command) {
    if (this.socket.readyState !== OPEN) return false;
    this.sent += 1;
    for (const frame of inChunks(toJson(command), `c${this.sent}`, this.chunkBytes)) this.socket.send(frame);
    return true;
  }

  /** Ping the server. Without an answer within PROBE_MS the connection is lost. */
  ping() {
    this.timeouts.set("alive", PROBE_MS, () => this.#end(LOST));
    this.send({ type: "ping", payload: { nonce: String(this.now()) } });
  }

  /** Drop the socket without calling `onLost`. */
  drop() {
    this.timeouts.clearAll();
    this.reader.close();
    const { socket } = this;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #end(code) {
    this.drop();
    this.onLost(code);
  }
}
