/**
 * Frames too large to travel in one piece: `{"type": "chunk", "id", "index", "count", "data"}`, where `data` is a
 * piece of the JSON text of one frame. Other frames may come between the pieces.
 */

const HELD_UNITS = 8 * 1024 * 1024; // of unfinished frames, in UTF-16 units; the oldest is given up beyond that
const OPEN_FRAMES = 64;
const MAX_COUNT = 65_536;
const HEAD_BYTES = 256; // what surrounds `data`: names, numbers and an id of at most 128 characters
const UNIT_BYTES = 3; // a UTF-16 unit of JSON text takes at most 3 bytes, also once it is escaped for `data`
const utf8 = new TextEncoder();

/** Puts frames together. A frame that is given up leaves a gap in its thread, which a `resume` fills. */
export class Chunks {
  constructor({ heldUnits = HELD_UNITS, openFrames = OPEN_FRAMES } = {}) {
    this.limits = { heldUnits, openFrames };
    this.open = new Map(); // id -> {pieces, missing, units}, the oldest first
    this.units = 0;
  }

  /** The JSON text of a whole frame when `chunk` was its last missing piece, else null. */
  take({ id, index, count, data }) {
    const wellFormed = typeof id === "string" && typeof data === "string" && Number.isInteger(index)
      && Number.isInteger(count) && count > 0 && count <= MAX_COUNT && index >= 0 && index < count;
    if (!wellFormed) return null;
    const frame = this.open.get(id) ?? { pieces: new Array(count).fill(null), missing: count, units: 0 };
    if (frame.pieces.length !== count) {
      this.#giveUp(id); // two frames under one name: neither can be trusted
      return null;
    }
    this.open.set(id, frame);
    if (frame.pieces[index] === null) {
      frame.pieces[index] = data;
      frame.missing -= 1;
      frame.units += data.length;
      this.units += data.length;
    }
    if (frame.missing > 0) {
      this.#makeRoom();
      return null;
    }
    this.#giveUp(id);
    return frame.pieces.join("");
  }

  #makeRoom() {
    while (this.open.size > this.limits.openFrames || this.units > this.limits.heldUnits) {
      this.#giveUp(this.open.keys().next().value);
    }
  }

  #giveUp(id) {
    this.units -= this.open.get(id)?.units ?? 0;
    this.open.delete(id);
  }
}

/**
 * The frames that carry `text` (JSON) within `frameBytes` each; `[text]` when it fits as it is. `id` names it.
 *
 * No piece ends within a surrogate pair: half of one has no UTF-8.
 */
export function inChunks(text, id, frameBytes) {
  if (text.length * UNIT_BYTES <= frameBytes || utf8.encode(text).length <= frameBytes) return [text];
  const pieces = [];
  for (let at = 0; at < text.length; at += pieces.at(-1).length) pieces.push(pieceAt(text, at, Math.max(frameBytes - HEAD_BYTES, UNIT_BYTES)));
  return pieces.map((data, index) => JSON.stringify({ type: "chunk", id, index, count: pieces.length, data }));
}

/** As much of `text` from `at` on as takes at most `bytes` in a string of JSON. */
function pieceAt(text, at, bytes) {
  for (let units = bytes; ;) {
    let end = Math.min(at + units, text.length);
    if (end < text.length && (text.charCodeAt(end) & 0xfc00) === 0xdc00) end -= 1; // within a pair
    const piece = text.slice(at, Math.max(end, at + 1));
    const size = utf8.encode(JSON.stringify(piece)).length - 2;
    if (size <= bytes || piece.length <= 2) return piece;
    units = Math.min(Math.floor((piece.length * bytes) / size), piece.length - 1);
  }
}
