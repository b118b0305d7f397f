/**
 * A streamed answer: text that arrives in pieces, each saying how many characters came before it.
 *
 * The server counts code points; JavaScript counts UTF-16 units. `points` and `tailPoint` are code points,
 * `tailAt` is an index into `text`. Everything before `tailAt` is shown by `blocks` (safe HTML made by the
 * server), everything after it is the open tail, shown as plain text.
 */

export const EMPTY_STREAM = Object.freeze({
  text: "", points: 0, blocks: Object.freeze([]), tailAt: 0, tailPoint: 0, hole: false,
});

const SURROGATE = /[\ud800-\udbff]/;

/** How many code points `text` has. */
export function countPoints(text) {
  if (!SURROGATE.test(text)) return text.length;
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** The index into `text` that lies `points` code points after the index `from`. */
export function indexAfter(text, from, points) {
  let at = from;
  for (let left = points; left > 0 && at < text.length; left -= 1) {
    at += text.codePointAt(at) > 0xffff ? 2 : 1;
  }
  return at;
}

/**
 * The stream after one more piece.
 *
 * A piece that starts where the text ends is appended; an overlap is trimmed; a piece already known changes
 * nothing. A piece from offset 0 that contradicts the text is a new beginning. A piece beyond the end leaves a
 * hole: it is not used, and `hole` says that a snapshot must be asked for.
 */
export function appendPiece(stream, { text = "", offset = 0, blocks = [] }) {
  const start = offset === 0 && contradicts(stream, text) ? EMPTY_STREAM : stream;
  if (offset > start.points) return start.hole ? start : { ...start, hole: true };
  const known = indexAfter(text, 0, start.points - offset);
  const fresh = text.slice(known);
  const grown = fresh === "" ? start : {
    ...start, text: start.text + fresh, points: start.points + countPoints(fresh), hole: false,
  };
  return closeBlocks(grown.hole ? { ...grown, hole: false } : grown, blocks ?? []);
}

function contradicts(stream, text) {
  if (stream.points === 0) return false;
  return !(text.startsWith(stream.text) || stream.text.startsWith(text));
}

function closeBlocks(stream, blocks) {
  const fresh = blocks.filter((block) => block.start >= stream.tailPoint && block.end <= stream.points);
  if (fresh.length === 0) return stream;
  let { tailAt, tailPoint } = stream;
  for (const block of fresh) {
    tailAt = indexAfter(stream.text, tailAt, block.end - tailPoint);
    tailPoint = block.end;
  }
  return { ...stream, blocks: [...stream.blocks, ...fresh], tailAt, tailPoint };
}

/** The part of the text that no closed block shows yet. */
export function openTail(stream) {
  return stream.text.slice(stream.tailAt);
}
