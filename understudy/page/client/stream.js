/**
 * A streamed answer: text that arrives in pieces, each saying how many characters came before it.
 *
 * The server counts code points; JavaScript counts UTF-16 units. `points` and `tailPoint` are code points,
 * `tailAt` is an index into `text`. Everything before `tailAt` is shown by `blocks` (safe HTML made by the
 * server), everything after it is the open tail, whose beginning is shown by `preview`.
 */

export const EMPTY_STREAM = Object.freeze({
  text: "", points: 0, blocks: Object.freeze([]), tailAt: 0, tailPoint: 0, hole: false, preview: null,
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
function indexAfter(text, from, points) {
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
 * nothing. A piece that contradicts the text takes its place from the piece's offset on: from offset 0 it is a new
 * beginning, and further on what an answer became that had to go on elsewhere. A piece beyond the end leaves a hole:
 * it is not used, and `hole` says that a snapshot must be asked for.
 */
export function appendPiece(stream, { text = "", offset = 0, blocks = [] }) {
  const start = contradicts(stream, text, offset) ? cutAt(stream, offset) : stream;
  if (offset > start.points) return start.hole ? start : { ...start, hole: true };
  const known = indexAfter(text, 0, start.points - offset);
  const fresh = text.slice(known);
  const grown = fresh === "" ? start : {
    ...start, text: start.text + fresh, points: start.points + countPoints(fresh), hole: false,
  };
  return closeBlocks(grown.hole ? { ...grown, hole: false } : grown, blocks ?? []);
}

function contradicts(stream, text, offset) {
  if (offset >= stream.points) return false;
  const known = stream.text.slice(indexAfter(stream.text, 0, offset));
  return !(text.startsWith(known) || known.startsWith(text));
}

/** The stream cut to a number of code points; a block that reached further is open again. */
function cutAt(stream, offset) {
  if (offset === 0) return EMPTY_STREAM;
  const blocks = stream.blocks.filter((block) => block.end <= offset);
  const tailPoint = blocks.at(-1)?.end ?? 0;
  return {
    text: stream.text.slice(0, indexAfter(stream.text, 0, offset)), points: offset, blocks,
    tailAt: indexAfter(stream.text, 0, tailPoint), tailPoint, hole: false, preview: null,
  };
}

function closeBlocks(stream, blocks) {
  const fresh = blocks.filter((block) => block.start >= stream.tailPoint && block.end <= stream.points);
  if (fresh.length === 0) return stream;
  let { tailAt, tailPoint } = stream;
  for (const block of fresh) {
    tailAt = indexAfter(stream.text, tailAt, block.end - tailPoint);
    tailPoint = block.end;
  }
  return { ...stream, blocks: [...stream.blocks, ...fresh], tailAt, tailPoint, preview: null };
}

/**
 * The stream with a preview of its open end. One that does not begin where the last block ends, or that goes beyond
 * the text, is of another text; one that shows less than the present one is late.
 */
export function withPreview(stream, { start, end, html }) {
  const fits = start === stream.tailPoint && end > start && end <= stream.points && typeof html === "string";
  if (!fits || end < (stream.preview?.end ?? 0)) return stream;
  return { ...stream, preview: { end, html, at: indexAfter(stream.text, stream.tailAt, end - start) } };
}

/**
 * The stream of an answer that was cut: `text` is what the server keeps of it, and `html` how that stays. Text that the
 * server has lost goes; without `html` the open end stays as it was.
 */
export function cutStream(stream, text, html) {
  const end = countPoints(text);
  const kept = stream.points > end && stream.text.startsWith(text) ? cutAt(stream, end) : appendPiece(stream, { text });
  if (!html) return kept;
  const closed = kept.blocks.map((block) => block.html).join("");
  const start = html.startsWith(closed) ? kept : { ...kept, blocks: EMPTY_STREAM.blocks, tailAt: 0, tailPoint: 0 };
  return { ...start, preview: { end, html: html.slice(start === kept ? closed.length : 0), at: text.length } };
}

/** The HTML of all of a stream's text; null while some of the text has none. */
export function wholeHtml({ text, blocks, tailAt, preview }) {
  if (text.slice(preview?.at ?? tailAt).trim() !== "") return null;
  return blocks.map((block) => block.html).join("") + (preview?.html ?? "");
}

/** The open end: the `html` that shows its beginning, and the `text` after that, with the blanks that HTML drops at its end. */
export function openPreview({ text, tailAt, preview }) {
  let at = preview?.at ?? tailAt;
  while (at > tailAt && (text[at - 1] === " " || text[at - 1] === "\t")) at -= 1;
  return { html: preview?.html ?? "", text: text.slice(at) };
}
