/**
 * What came over a socket, as events, strictly in the order of arrival.
 *
 * Text is read at once. A binary frame is gzip, and unpacking takes a while: whatever comes behind it waits for it.
 */

import { Chunks } from "./chunks.js";
import { gunzip } from "./gunzip.js";

const UNPACKED_BYTES = 16 * 1024 * 1024; // of one frame
const WAITING_BYTES = 32 * 1024 * 1024; // of frames queued behind one that is being unpacked; beyond it the connection is dropped

export class FrameReader {
  /** `onEvents(list)` gets what one frame held; `onBroken()` says that the order can no longer be kept. */
  constructor({ onEvents, onBroken }) {
    this.onEvents = onEvents;
    this.onBroken = onBroken;
    this.chunks = new Chunks();
    this.waiting = [];
    this.waitingBytes = 0;
    this.busy = false;
    this.over = false;
  }

  /** Takes a frame: text, or an ArrayBuffer or a view of one with gzip in it. */
  take(frame) {
    if (this.over) return;
    if (!this.busy && typeof frame === "string") {
      this.#read(frame);
      return;
    }
    this.waiting.push(frame);
    this.waitingBytes += frame.byteLength ?? frame.length;
    if (this.waitingBytes > WAITING_BYTES) this.#break();
    else if (!this.busy) this.#unpack();
  }

  /** Drop the queued frames. */
  close() {
    this.over = true;
    this.waiting = [];
  }

  async #unpack() {
    this.busy = true;
    while (this.waiting.length > 0) {
      const frame = this.waiting.shift();
      this.waitingBytes -= frame.byteLength ?? frame.length;
      try {
        const text = typeof frame === "string" ? frame : await gunzip(frame, UNPACKED_BYTES);
        if (!this.over) this.#read(text);
      } catch {
        this.#break();
      }
    }
    this.busy = false;
  }

  #break() {
    if (this.over) return;
    this.close();
    this.onBroken();
  }

  #read(text) {
    let parsed;
    try {
      parsed = JSON.parse(text);
    } catch {
      return; // every frame of this dialect is JSON: not ours
    }
    const events = [];
    for (const event of Array.isArray(parsed) ? parsed : [parsed]) {
      if (event?.type !== "chunk") {
        if (typeof event?.type === "string") events.push(event);
        continue;
      }
      const whole = this.chunks.take(event);
      if (whole === null) continue;
      this.#emit(events.splice(0));
      this.#read(whole);
    }
    this.#emit(events);
  }

  #emit(events) {
    if (events.length > 0) this.onEvents(events);
  }
}
