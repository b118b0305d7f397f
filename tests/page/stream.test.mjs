import assert from "node:assert/strict";
import { test } from "node:test";

import { appendPiece, countPoints, cutStream, EMPTY_STREAM, openPreview, wholeHtml, withPreview } from "../../understudy/page/client/stream.js";

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

test("a block that reached into what was replaced is open again", () => {
  const blocks = [{ start: 0, end: 4, html: "<p>🎭a</p>" }, { start: 4, end: 8, html: "<p>bcd</p>" }];
  const shown = build({ text: "🎭a\n\nbcd\n", offset: 0, blocks });
  const other = appendPiece(shown, { text: "xyz\n", offset: 4, blocks: [{ start: 4, end: 8, html: "<p>xyz</p>" }] });
  assert.deepEqual(other.blocks.map((block) => block.html), ["<p>🎭a</p>", "<p>xyz</p>"]);
  assert.equal(openPreview(other).text, "");
  assert.equal(openPreview(appendPiece(shown, { text: "xy", offset: 5 })).text, "bxy");
});

test("offsets are code points, so emoji do not shift the text", () => {
  const stream = build({ text: "a🎭b", offset: 0 }, { text: "c", offset: 3 });
  assert.equal(stream.text, "a🎭bc");
  assert.equal(countPoints("🎭🎭"), 2);
  assert.equal(build({ text: "🎭🎭", offset: 0 }, { text: "🎭x", offset: 1 }).text, "🎭🎭x");
});

test("closed blocks move the open tail, also past emoji, and come once", () => {
  const blocks = [{ start: 0, end: 4, html: "<p>🎭ab</p>" }];
  const stream = build({ text: "🎭ab\nrest", offset: 0, blocks });
  assert.equal(openPreview(stream).text, "rest");
  const again = appendPiece(stream, { text: "🎭ab\nrest", offset: 0, blocks });
  assert.equal(again, stream);
  const more = appendPiece(stream, { text: "!\n", offset: 8, blocks: [...blocks, { start: 4, end: 10, html: "<p>rest!</p>" }] });
  assert.deepEqual(more.blocks.map((block) => block.start), [0, 4]);
  assert.equal(openPreview(more).text, "");
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

test("a preview shows the beginning of the open end, until its block closes", () => {
  const text = appendPiece(EMPTY_STREAM, { text: "a\n\n😀 **bo", offset: 0, blocks: [{ start: 0, end: 3, html: "<p>a</p>" }] });
  const shown = withPreview(text, { start: 3, end: 8, html: "<p>😀 <strong>b</strong></p>" });
  assert.deepEqual(openPreview(shown), { html: "<p>😀 <strong>b</strong></p>", text: "o" });
  assert.deepEqual(openPreview(text), { html: "", text: "😀 **bo" });
  assert.equal(withPreview(shown, { start: 3, end: 6, html: "<p>late</p>" }), shown);
  assert.equal(withPreview(shown, { start: 0, end: 9, html: "<p>of another block</p>" }), shown);
  assert.equal(withPreview(shown, { start: 3, end: 99, html: "<p>of another text</p>" }), shown);
  const closed = appendPiece(shown, { text: "ld**", offset: 9, blocks: [{ start: 3, end: 13, html: "<p>b</p>" }] });
  assert.deepEqual(openPreview(closed), { html: "", text: "" });
  assert.equal(appendPiece(shown, { text: "anew", offset: 0 }).preview, null);
});

test("the blank between a preview and the words after it is not lost", () => {
  const stream = withPreview(appendPiece(EMPTY_STREAM, { text: "ends in the middle", offset: 0 }), { start: 0, end: 8, html: "<p>ends in</p>" });
  assert.deepEqual(openPreview(stream), { html: "<p>ends in</p>", text: " the middle" });
});

test("an answer that was cut has the text and the HTML that its server keeps", () => {
  const blocks = [{ start: 0, end: 3, html: "<p>a</p>" }];
  const shown = withPreview(appendPiece(EMPTY_STREAM, { text: "a\n\n😀 **bo", offset: 0, blocks }), { start: 3, end: 7, html: "<p>😀</p>" });
  assert.equal(wholeHtml(shown), null);
  const cut = cutStream(shown, "a\n\n😀 **bo", "<p>a</p><p>😀 <strong>bo</strong></p>");
  assert.deepEqual([cut.blocks, openPreview(cut)], [blocks, { html: "<p>😀 <strong>bo</strong></p>", text: "" }]);
  assert.equal(wholeHtml(cut), "<p>a</p><p>😀 <strong>bo</strong></p>");
  const lost = cutStream(shown, "a\n\n😀", "<p>a</p><p>😀</p>");
  assert.deepEqual([lost.text, lost.points, wholeHtml(lost)], ["a\n\n😀", 4, "<p>a</p><p>😀</p>"], "what was never saved is gone");
  assert.equal(wholeHtml(cutStream(shown, "a\n\n😀 **bo", "<p>A</p><p>other</p>")), "<p>A</p><p>other</p>", "a reference below changed a block");
  assert.equal(wholeHtml(cutStream(EMPTY_STREAM, "all *of*", "<p>all <em>of</em></p>")), "<p>all <em>of</em></p>");
  assert.equal(cutStream(shown, shown.text, null), shown);
  const on = appendPiece(cut, { text: "a\n\n😀 **bold**\n\n", offset: 0, blocks: [...blocks, { start: 3, end: 15, html: "<p>😀 <strong>bold</strong></p>" }] });
  assert.equal(wholeHtml(on), "<p>a</p><p>😀 <strong>bold</strong></p>", "another run goes on with it");
});
