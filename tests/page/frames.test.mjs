import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { Chunks, inChunks } from "../../understudy/page/client/connection/chunks.js";
import { gunzip, FrameReader } from "../../understudy/page/client/connection/frame_reader.js";
import { settle } from "./fakes.mjs";

const chunk = (id, index, count, data) => ({ type: "chunk", id, index, count, data });

test("a frame in parts is whole with its last part, in whatever order and between whatever others", () => {
  const chunks = new Chunks();
  const told = [chunk("a", 1, 2, "2}"), chunk("b", 0, 1, "[]"), chunk("a", 1, 2, "2}"), chunk("a", 0, 2, '{"x":')].map((one) => chunks.take(one));
  assert.deepEqual(told, [null, "[]", null, '{"x":2}']);
  assert.deepEqual([chunks.open.size, chunks.units], [0, 0]);
});

test("parts that make no sense are not kept", () => {
  const chunks = new Chunks();
  const bad = [
    chunk("a", 0, 0, ""), chunk("a", 2, 2, ""), chunk("a", -1, 2, ""), chunk("a", 0.5, 2, ""), chunk("a", 0, 1e9, ""),
    chunk(7, 0, 1, "{}"), chunk("a", 0, 1, null), { type: "chunk" },
  ];
  assert.deepEqual(bad.map((one) => chunks.take(one)), bad.map(() => null));
  chunks.take(chunk("a", 0, 3, "x"));
  assert.equal(chunks.take(chunk("a", 1, 2, "y")), null); // another count under the same name
  assert.deepEqual([chunks.open.size, chunks.units], [0, 0]);
});

test("unfinished frames are bounded in size and number; the oldest goes first", () => {
  const chunks = new Chunks({ heldUnits: 10, openFrames: 2 });
  for (const id of ["a", "b", "c"]) chunks.take(chunk(id, 0, 2, "1234"));
  assert.deepEqual([...chunks.open.keys()], ["b", "c"]);
  chunks.take(chunk("c", 1, 3, "never mind"));
  chunks.take(chunk("d", 0, 2, "12345678"));
  assert.deepEqual([...chunks.open.keys()], ["d"]);
  assert.equal(chunks.units, 8);
});

test("a command is cut into frames that each fit, and never within a character", () => {
  const texts = ["x".repeat(5000), "\"\\".repeat(3000), "ß\"🎭\\n".repeat(900), ...["", "x", "xx", "xxx"].map((start) => start + "🎭".repeat(2000))];
  for (const text of texts) {
    const json = JSON.stringify({ content: text });
    const frames = inChunks(json, "c1", 1024);
    assert.ok(frames.length > 1);
    for (const frame of frames) {
      assert.ok(Buffer.byteLength(frame) <= 1024);
      assert.ok(JSON.parse(frame).data.isWellFormed?.() ?? true);
      assert.ok(!/\\ud[89a-f]/i.test(frame), "half a character");
    }
    const chunks = new Chunks();
    assert.equal(frames.map((frame) => chunks.take(JSON.parse(frame))).at(-1), json);
  }
  assert.deepEqual(inChunks("{}", "c1", 1024), ["{}"]);
  assert.deepEqual(inChunks("{}", "c1", Infinity), ["{}"]);
});

function intake() {
  const events = [];
  const one = new FrameReader({ onEvents: (list) => events.push(...list.map(({ n }) => n)), onBroken: () => events.push("broken") });
  const event = (n) => ({ type: "x", n });
  return { one, events, event, text: (...list) => one.take(JSON.stringify(list.length === 1 ? event(list[0]) : list.map(event))) };
}

const packed = (value) => {
  const bytes = gzipSync(typeof value === "string" ? value : JSON.stringify(value));
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
};

async function quiet(one) {
  for (let tries = 0; one.busy && tries < 1000; tries += 1) await settle();
}

test("text frames are told at once, packed ones in their place among them", async () => {
  const { one, events, event, text } = intake();
  text(1);
  assert.deepEqual(events, [1]);
  one.take(packed([2, 3].map(event)));
  text(4, 5);
  one.take(packed(event(6)));
  text(7);
  assert.deepEqual(events, [1]);
  await quiet(one);
  assert.deepEqual(events, [1, 2, 3, 4, 5, 6, 7]);
  text(8);
  assert.equal(events.at(-1), 8);
});

test("what came before the last part of a large event is told before it", () => {
  const { one, events, event } = intake();
  const whole = JSON.stringify(event(2));
  one.take(JSON.stringify(chunk("a", 0, 2, whole.slice(0, 5))));
  one.take(JSON.stringify([event(1), chunk("a", 1, 2, whole.slice(5)), event(3)]));
  assert.deepEqual(events, [1, 2, 3]);
});

test("rubbish is passed over, but what cannot be unpacked ends the line: something is missing there", async () => {
  const { one, events, text } = intake();
  for (const frame of ["{", "null", "7", '"x"', "[null, 3]", "{}"]) one.take(frame);
  assert.deepEqual(events, []);
  one.take(new ArrayBuffer(8));
  text(1);
  await quiet(one);
  assert.deepEqual(events, ["broken"]);
});

test("nothing is told after the line was let go of", async () => {
  const { one, events, event } = intake();
  one.take(packed(event(1)));
  one.close();
  await quiet(one);
  assert.deepEqual(events, []);
});

test("a small frame that unpacks to a huge one is given up", async () => {
  await assert.rejects(gunzip(gzipSync("0".repeat(100_000)), 1000), RangeError);
  assert.equal(await gunzip(gzipSync("héllo 🎭"), 1000), "héllo 🎭");
});
