/**
 * Reads frames of a socket as events, strictly in the order of arrival.
 *
 * Text is read at once. A binary frame is gzip, and unpacking takes a while: whatever comes behind it waits for it.
 */

import { Chunks } from "./chunks.js";

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

// gzip in browsers and in Node, with a bound on what may come out.

/** Whether this program can unpack gzip; only then the server is asked for it. */
export const CAN_GUNZIP = typeof DecompressionStream === "function";

/** The text in `bytes` (gzip of UTF-8). Raises RangeError beyond `maxBytes`, TypeError when it is no gzip. */
export async function gunzip(bytes, maxBytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let [text, size] = ["", 0];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.byteLength;
    if (size > maxBytes) {
      reader.cancel().catch(() => {}); // the rest is of no interest, nor is how it ends
      throw new RangeError(`a frame unpacks to more than ${maxBytes} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
}
