/** The worker that draws charts, as the bundler makes it: `PAGE` is the folder of a page with `lib`. Its canvas is a stand-in, as Node has none. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import vm from "node:vm";

const SCRIPT = await readFile(`${process.env.PAGE}/lib/chart_worker.js`, "utf8");
const LOOK = { width: 600, font: "sans-serif", ink: "#111111", faint: "#222222", line: "#333333", locale: "en" };
const ROWS = [{ x: "a", y: 1 }, { x: "b", y: 2 }];
const ENCODING = { x: { field: "x", type: "nominal", title: "name" }, y: { field: "y", type: "quantitative", title: "amount" } };
const BARS = { mark: "bar", data: { values: ROWS }, encoding: ENCODING };
const moments = ["2025-01-01T00:00:00Z", "2025-03-01T00:00:00Z"].map((x, y) => ({ x, y: 1234.5 * (y + 1) }));
const LINE = { mark: { type: "line", point: true }, data: { values: moments }, encoding: { x: { field: "x", type: "temporal", timeUnit: "utcyearmonth", title: "month" }, y: ENCODING.y } };

const asked = [];
const answers = [];
let next = null;
class OffscreenCanvas {
  getContext = () => ({ measureText: (text) => ({ width: 6.5 * text.length }) });
}
const worker = {
  OffscreenCanvas, console, setTimeout, clearTimeout, setInterval, clearInterval, performance, structuredClone,
  postMessage: (answer) => (next ? next(answer) : answers.push(answer)),
  fetch: (address) => { asked.push(address); return Promise.reject(new Error("no network")); },
};
worker.self = worker;
vm.runInNewContext(SCRIPT, worker, { contextCodeGeneration: { strings: false, wasm: false } }); // as the policy has it: no `eval`

const draw = (spec, look = {}) => new Promise((resolve) => {
  next = (answer) => resolve(structuredClone(answer));
  worker.onmessage({ data: { spec, look: { ...LOOK, ...look } } });
});
const texts = (svg) => [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text);

test("the worker says when it is ready", () => assert.deepEqual(structuredClone(answers), [{ ready: true }]));

test("a chart is drawn in the page's width and colours, and tells its points", async () => {
  const { svg, points } = await draw({ ...BARS, width: 200, background: "white", config: { axis: { labelColor: "red" } } });
  assert.match(svg, /^<svg [^>]*width="600"/);
  assert.deepEqual([/white|red/.test(svg), svg.includes("#111111"), svg.includes("#333333")], [false, true, true]);
  assert.deepEqual(points.map(({ values }) => values), [[["name", "a"], ["amount", "1"]], [["name", "b"], ["amount", "2"]]]);
  for (const { box: [left, top, right, bottom] } of points) assert.ok(left >= 0 && left < right && right <= 600 && top < bottom);
});

test("times and numbers are written as the user's language does, whatever the time zone", async () => {
  process.env.TZ = "America/New_York";
  assert.deepEqual((await draw(LINE)).points.map(({ values }) => values), [[["month", "Jan 2025"], ["amount", "1,234.5"]], [["month", "Mar 2025"], ["amount", "2,469"]]]);
  const { svg, points } = await draw(LINE, { locale: "de" });
  assert.deepEqual(points.at(-1).values, [["month", "Mär 2025"], ["amount", "2.469"]]);
  assert.ok(texts(svg).includes("2.000"));
});

test("what a line, layers, a pie and several views are made of is told once", async () => {
  for (const mark of ["line", { type: "area", line: true }]) assert.equal((await draw({ ...LINE, mark })).points.length, 2);
  assert.equal((await draw({ data: BARS.data, encoding: ENCODING, layer: [{ mark: "bar" }, { mark: "line" }] })).points.length, 2);
  const pie = { mark: "arc", data: BARS.data, encoding: { theta: { field: "y", type: "quantitative", stack: true }, color: { field: "x", type: "nominal" } } };
  const slices = (await draw(pie)).points;
  assert.deepEqual(slices.map(({ box }) => box.every(Number.isFinite)), [true, true]);
  const two = await draw({ data: BARS.data, hconcat: [{ mark: "bar", encoding: ENCODING }, { mark: "point", encoding: ENCODING }] });
  assert.equal(two.points.length, 4);
});

test("nothing of a specification loads, links or runs", async () => {
  const address = "https://example.org/a";
  for (const data of [{ url: address }, { url: "data:text/csv,x,y%0Aa,1" }]) assert.match((await draw({ ...BARS, data })).fault, /nothing to draw/i);
  await draw({ ...BARS, transform: [{ lookup: "x", from: { data: { url: address }, key: "x", fields: ["z"] } }] });
  const linked = await draw({ ...BARS, encoding: { ...ENCODING, href: { value: address } } });
  assert.deepEqual([/<a\b[^>]*href|example/.test(linked.svg), linked.points.length], [false, 2]);
  const pictures = { ...BARS, mark: { type: "image", width: 20, height: 20 }, encoding: { ...ENCODING, url: { value: address } } };
  assert.match((await draw(pictures)).fault, /nothing to draw/i);
  assert.ok(!(await draw({ ...BARS, layer: [{ mark: "bar" }, pictures], mark: undefined })).svg.includes("example"));
  for (const calculate of ["constructor.constructor('return 1')()", "datum.x.constructor.constructor('return 1')()", "self.fetch('x')"]) {
    assert.ok((await draw({ ...BARS, transform: [{ calculate, as: "y" }] })).fault, calculate);
  }
  assert.deepEqual(asked, []);
});

test("texts of the data are texts of the drawing", async () => {
  const hostile = ["</text><script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "datum.y", "{{1}}"];
  const { svg, points } = await draw({ ...BARS, data: { values: hostile.map((x, y) => ({ x, y: y + 1 })) }, encoding: { ...ENCODING, x: { ...ENCODING.x, axis: { labelLimit: 1000 } } } });
  const markup = svg.replaceAll(/>[^<]*/g, ">").replaceAll(/"[^"]*"/g, '""');
  assert.deepEqual([...new Set(markup.match(/<\w+/g))].filter((tag) => !/^<(?:svg|g|path|rect|line|text|defs|clipPath)$/.test(tag)), []);
  assert.ok(!/\s(?:on\w+|href|style)=/.test(markup));
  assert.deepEqual(points.map(({ values }) => values[0][1]), hostile);
});

test("a specification that cannot be drawn, or shows nothing, says so", async () => {
  const others = [null, {}, { mark: "none" }, { ...BARS, data: { values: [] } }, { ...BARS, data: { values: [{ z: 1 }] } }, { ...BARS, mark: "text", transform: [{ filter: "(" }] }];
  for (const other of others) {
    const { svg, fault } = await draw(other);
    assert.deepEqual([svg, typeof fault], [undefined, "string"], JSON.stringify(other));
    assert.ok(fault.length <= 500);
  }
  assert.ok((await draw(BARS)).svg, "the next one is drawn");
});
