import assert from "node:assert/strict";
import { test } from "node:test";

import { appendPiece, countPoints, cutStream, EMPTY_STREAM } from "../../understudy/page/client/threads/stream.js";

const build = (...pieces) => pieces.reduce(appendPiece, EMPTY_STREAM);

test("pieces in order make the text", () => {
  const stream = build({ text: "Hello, ", offset: 0 }, { text: "world", offset: 7 });
  assert.equal(stream.text, "Hello, world");
  assert.equal(stream.points, 12);
});

test("a repeated piece changes nothing, not even identity", () => {
  const once = build({ text: "abc", offset: 0 });
  assert.equal(appendPiece(once, { text: "bc", offset: 1 }), once);
});

test("an overlapping piece is trimmed", () => {
  assert.equal(build({ text: "abc", offset: 0 }, { text: "cde", offset: 2 }).text, "abcde");
});

test("a piece beyond the end leaves a hole, and a snapshot heals it", () => {
  const holed = build({ text: "ab", offset: 0 }, { text: "z", offset: 9 });
  assert.equal(holed.text, "ab");
  assert.equal(holed.hole, true);
  const healed = appendPiece(holed, { text: "abcdef", offset: 0 });
  assert.equal(healed.text, "abcdef");
  assert.equal(healed.hole, false);
});

test("a snapshot that contradicts the text is a new beginning", () => {
  assert.equal(build({ text: "first try", offset: 0 }, { text: "second", offset: 0 }).text, "second");
});

test("a piece that contradicts the text further on takes its place from there", () => {
  const shown = build({ text: "🎭 one two thr", offset: 0 });
  const again = appendPiece(shown, { text: "🎭 one ", offset: 0 });
  assert.equal(again.text, shown.text, "what only lags behind takes nothing away");
  assert.equal(appendPiece(again, { text: "two three", offset: 6 }).text, "🎭 one two three");
  const other = appendPiece(again, { text: "and two", offset: 6 });
  assert.equal(other.text, "🎭 one and two");
  assert.equal(other.points, 13);
});

test("offsets are code points, so emoji do not shift the text", () => {
  const stream = build({ text: "a🎭b", offset: 0 }, { text: "c", offset: 3 });
  assert.equal(stream.text, "a🎭bc");
  assert.equal(countPoints("🎭🎭"), 2);
  assert.equal(build({ text: "🎭🎭", offset: 0 }, { text: "🎭x", offset: 1 }).text, "🎭🎭x");
});

test("any cut of a text, with repeats, gives the text back", () => {
  const text = "One 🎭 two\n\nthree — four 🧵 five";
  const points = [...text];
  for (let seed = 1; seed <= 200; seed += 1) {
    let state = seed;
    const random = (below) => {
      state = (state * 48271) % 2147483647;
      return state % below;
    };
    let stream = EMPTY_STREAM;
    while (stream.points < points.length) {
      const offset = Math.max(0, stream.points - random(4));
      stream = appendPiece(stream, { text: points.slice(offset, stream.points + 1 + random(6)).join(""), offset });
    }
    assert.equal(stream.text, text);
  }
});

test("an answer that was cut has the text that its server keeps", () => {
  const shown = appendPiece(EMPTY_STREAM, { text: "a\n\n😀 **bo", offset: 0 });
  assert.equal(cutStream(shown, shown.text), shown);
  const lost = cutStream(shown, "a\n\n😀");
  assert.deepEqual([lost.text, lost.points], ["a\n\n😀", 4], "what was never saved is gone");
  assert.equal(cutStream(EMPTY_STREAM, "all *of*").text, "all *of*");
  assert.equal(appendPiece(lost, { text: " **bold**", offset: 4 }).text, "a\n\n😀 **bold**", "another run goes on with it");
});
