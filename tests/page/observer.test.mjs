/** The pure parts of the operators' page: the parser of its stream, and what it knows of the tree. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser } from "../../understudy/page/observer/api.js";
import { FEW, Forest, MOST } from "../../understudy/page/observer/forest.js";
import { above, age, nameOf } from "../../understudy/page/observer/labels.js";
import { lines, phaseAt, ticks } from "../../understudy/page/observer/run.js";

const node = (path, children = [], more = {}) => ({
  path, type: "Actor", state: "running", incarnation: 1, restarts: 0, age_s: 10, depth: {}, resting_below: 0,
  child_count: children.length, children, ...more,
});
const NOW = 1_000_000;

/** A root with two parts, the first of them open. */
function forest() {
  const known = new Forest();
  known.open.add("/s");
  known.open.add("/s/a");
  known.take(node("/s", [node("/s/a"), node("/s/b", [], { child_count: 3 })]), NOW);
  known.take(node("/s/a", [node("/s/a/1"), node("/s/a/2")], { child_count: 900 }), NOW);
  return known;
}

const paths = (known, options) => known.rows(options).map((row) => row.node?.path ?? `+${row.hidden}`);

test("events are the same however the stream is cut", () => {
  const text = ': ping\n\nevent: hello\nretry: 2000\ndata: {"a":\ndata: 1}\n\nevent: resync\ndata: {}\n\nevent: nothing\n\n';
  for (let at = 0; at <= text.length; at += 1) {
    const parser = new EventParser();
    assert.deepEqual([...parser.feed(text.slice(0, at)), ...parser.feed(text.slice(at))], [
      { kind: "hello", data: { a: 1 } }, { kind: "resync", data: {} },
    ]);
  }
});

test("rows are what is open, with a line for what is folded", () => {
  assert.deepEqual(paths(forest()), ["/s", "/s/a", "/s/a/1", "/s/a/2", "+898", "/s/b"]);
  const [root, part] = forest().rows();
  assert.deepEqual([root.level, root.open, part.level, part.at, part.of], [1, true, 2, 1, 2]);
  assert.equal(part.node.since, NOW - 10_000);
});

test("a look at one actor leaves open what is open below it, unless nobody is there any more", () => {
  const known = forest();
  known.take(node("/s", [node("/s/a", [], { child_count: 900 }), node("/s/b")]), NOW);
  assert.deepEqual(paths(known), ["/s", "/s/a", "/s/a/1", "/s/a/2", "+898", "/s/b"]);
  known.take(node("/s", [node("/s/a"), node("/s/b")]), NOW);
  assert.deepEqual(paths(known), ["/s", "/s/a", "/s/b"]);
  assert.deepEqual([...known.nodes.keys()], ["/s", "/s/a", "/s/b"]);
});

test("a crowded node shows more, up to what one answer holds", () => {
  const known = forest();
  assert.equal(known.limit("/s/a"), FEW);
  for (let n = 0; n < 20; n += 1) known.widen("/s/a");
  assert.equal(known.limit("/s/a"), MOST);
  assert.equal(known.rows().find((row) => row.fold).full, true);
});

test("a change of a known actor is shown; a restart says so, and an open one is looked at again", () => {
  const known = forest();
  assert.deepEqual(known.change({ path: "/s/a/1", state: "backing_off", restarts: 0, incarnation: 1 }, NOW), {});
  assert.deepEqual(known.change({ path: "/s/a/1", state: "running", restarts: 1, incarnation: 2 }, NOW + 1), { restarted: true, ask: undefined });
  assert.deepEqual([known.nodes.get("/s/a/1").since, known.nodes.get("/s/a/1").state], [NOW + 1, "running"]);
  assert.equal(known.change({ path: "/s/a", state: "running", restarts: 1, incarnation: 2 }, NOW).ask, "/s/a");
});

test("one that is new or folded away is looked for where it would be seen only", () => {
  const known = forest();
  assert.deepEqual(known.change({ path: "/s/a/3", state: "running", restarts: 0 }, NOW), { restarted: false, ask: "/s/a" });
  assert.deepEqual(known.change({ path: "/s/b/1", state: "running", restarts: 2 }, NOW), { restarted: true, ask: undefined });
  assert.equal(known.nodes.has("/s/b/1"), false);
});

test("who is gone leaves with all below, and its place is nobody's", () => {
  const known = forest();
  known.change({ path: "/s/a", gone: true }, NOW);
  assert.deepEqual(paths(known), ["/s", "/s/b"]);
  assert.deepEqual([[...known.nodes.keys()], [...known.open]], [["/s", "/s/b"], ["/s"]]);
  known.take(node("/s", [node("/s/a")]), NOW);
  assert.deepEqual(paths(known), ["/s", "/s/a"]);
  assert.deepEqual([...known.nodes.keys()], ["/s", "/s/a"]);
});

test("counts come by themselves", () => {
  const known = forest();
  known.counted({ child_counts: { "/s/b": 9, "/else": 1 }, resting_below: { "/s": 2 } });
  assert.deepEqual([known.nodes.get("/s/b").child_count, known.nodes.get("/s").resting_below], [9, 2]);
});

test("what was found is all open, and a later answer takes its place", () => {
  const known = new Forest();
  known.take(node("/s", [node("/s/b", [node("/s/b/7")], { child_count: 3 })], { child_count: 2 }), NOW, { whole: true });
  assert.deepEqual(paths(known, { all: true }), ["/s", "/s/b", "/s/b/7"]);
  known.take(node("/s", []), NOW, { whole: true });
  assert.deepEqual(paths(known, { all: true }), ["/s"]);
});

test("a picked actor that is not shown is the nearest above it", () => {
  const known = forest();
  assert.equal(known.visible("/s/b/9/x", known.rows()), "/s/b");
  assert.equal(known.visible("/other", known.rows()), "/s");
});

test("names, ages and paths as people read them", () => {
  assert.deepEqual([nameOf("/s/writer"), nameOf(`/s/${"0a".repeat(16)}`)], ["writer", "0a0a0a0a0a…"]);
  assert.deepEqual([59_999, 60_000, 7_300_000, 90_000_000, -5].map(age), ["59 s", "1 min", "2 h", "1 d", "0 s"]);
  assert.deepEqual([above("/s/a"), above("/s"), above("")], ["/s", "", ""]);
});

const SPANS = [
  { key: "queue", kind: "queue", name: "", began: 10, ended: 11, status: "ok", parent: null },
  { key: "a", kind: "agent", name: "guide", began: 11, ended: null, status: "", parent: null },
  { key: "c", kind: "tool", name: "pay", began: 12, ended: 20, status: "ok", parent: "a" },
  { key: "b", kind: "subagent", name: "clerk", began: 13, ended: 15, status: "success", parent: "c" },
  { key: "x", kind: "model", name: "m", began: 11.5, ended: 11.9, status: "ok", parent: "gone" },
];

test("a timeline is a tree of spans, and one without its parent stands at the top", () => {
  const found = lines({ spans: SPANS, marks: [] }, 30);
  assert.deepEqual(found.map(({ span, level }) => [span.key, level]), [["queue", 0], ["a", 0], ["c", 1], ["b", 2], ["x", 0]]);
  assert.deepEqual([found[1].from, found[1].to], [0.05, 1]);
  assert.deepEqual(lines({ spans: [], marks: [] }, 30), []);
});

test("a scale has few lines, whatever the length of a run", () => {
  for (const length of [0.1, 1, 7, 59, 3600, 90_000, 1e7]) {
    const found = ticks(length);
    assert.ok(found.length >= 2 && found.length <= 9, `${found.length} at ${length}`);
    assert.equal(found[0].at, 0);
    assert.ok(found.at(-1).at <= 1 + 1e-9);
  }
});

test("at a moment of a replay a span is to come, at work or over", () => {
  assert.deepEqual([5, 10, 10.5, 11].map((moment) => phaseAt(SPANS[0], moment)), ["before", "during", "during", "after"]);
  assert.equal(phaseAt(SPANS[1], 1e9), "during");
});
