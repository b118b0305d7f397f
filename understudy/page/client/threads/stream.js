/**
 * A streamed answer: text that arrives in pieces, each saying how many characters came before it.
 *
 * The server counts code points; JavaScript counts UTF-16 units. `points` are the code points of `text`.
 */

export const EMPTY_STREAM = Object.freeze({ text: "", points: 0, hole: false });

const SURROGATE = /[\ud800-\udbff]/;

/** Returns the number of code points in `text`. */
export function countPoints(text) {
  if (!SURROGATE.test(text)) return text.length;
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** The index into `text` after this many code points. */
function indexAfter(text, points) {
  let at = 0;
  for (let left = points; left > 0 && at < text.length; left -= 1) at += text.codePointAt(at) > 0xffff ? 2 : 1;
  return at;
}

/**
 * The stream after one more piece.
 *
 * A piece that starts where the text ends is appended; an overlap is trimmed; a piece already known changes
 * nothing. A piece that contradicts the text takes its place from the piece's offset on: from offset 0 it is a new
 * beginning, and further on what an answer became that had to go on elsewhere. A piece beyond the end leaves a hole:
 * it is not used, and `hole` says that a snapshot must be asked for.
 */
export function appendPiece(stream, { text = "", offset = 0 }) {
  const start = contradicts(stream, text, offset) ? cutAt(stream, offset) : stream;
  if (offset > start.points) return start.hole ? start : { ...start, hole: true };
  const fresh = text.slice(indexAfter(text, start.points - offset));
  if (fresh === "") return start.hole ? { ...start, hole: false } : start;
  return { text: start.text + fresh, points: start.points + countPoints(fresh), hole: false };
}

function contradicts(stream, text, offset) {
  if (offset >= stream.points) return false;
  const known = stream.text.slice(indexAfter(stream.text, offset));
  return !(text.startsWith(known) || known.startsWith(text));
}

/** The stream cut to a number of code points. */
function cutAt(stream, points) {
  return points === 0 ? EMPTY_STREAM : { text: stream.text.slice(0, indexAfter(stream.text, points)), points, hole: false };
}

/** The stream of an answer that was cut: `text` is what the server keeps of it. What the server has lost goes. */
export function cutStream(stream, text) {
  const end = countPoints(text);
  return stream.points > end && stream.text.startsWith(text) ? cutAt(stream, end) : appendPiece(stream, { text });
}

// Progress that running calls have yielded.

const MOST = 50; // items shown of a running call

/** The turn with more items at the running call that yielded them; the last ones are kept, `yielded` counts all. */
export function withPartial(turn, { call_id: callId, offset, items }) {
  const index = turn.steps.findLastIndex((one) => one.callId === callId && one.status === "running");
  if (index < 0 || !Array.isArray(items)) return turn;
  const step = turn.steps[index];
  const steps = turn.steps.slice();
  steps[index] = { ...step, partial: [...(step.partial ?? []), ...items].slice(-MOST), yielded: offset + items.length };
  return { ...turn, steps };
}
