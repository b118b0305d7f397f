import assert from "node:assert/strict";
import { test } from "node:test";

import { layOut, textWidth, ticksOf } from "../../understudy/page/client/chart_layout.js";
import { chartTable, readChart } from "../../understudy/page/client/chart_model.js";

const MONTHS = Array.from({ length: 12 }, (_, month) => ({ x: `2025-${String(month + 1).padStart(2, "0")}-01T00:00:00`, y: 40 * ((month * 5) % 12) }));
const spec = (mark, values, x, more = {}) => ({ mark, data: { values }, encoding: { x: { field: "x", ...x }, y: { field: "y", type: "quantitative", title: "sum of sales" }, ...more } });
const line = spec({ type: "line", point: true }, MONTHS, { type: "temporal", title: "month", scale: { type: "utc" } });
const bars = (names) => spec("bar", names.map((x, y) => ({ x, y })), { type: "nominal", title: "region", sort: null });

/** Texts of an axis must neither meet nor leave the picture. */
function apart(ticks, width) {
  const spans = ticks.map(({ at, text, anchor = "middle" }) => {
    const wide = textWidth(text);
    const from = anchor === "middle" ? at - wide / 2 : anchor === "end" ? width - wide : 0;
    return [from, from + wide];
  });
  spans.forEach(([from, to], index) => {
    assert.ok(from >= -1 && to <= width + 16, `${ticks[index].text} leaves a picture of ${width}: ${from} to ${to}`);
    if (index > 0) assert.ok(from >= spans[index - 1][1], `${ticks[index].text} meets the one before`);
  });
}

test("what the server's tools draw is read: line, bars, histogram, points, pie", () => {
  assert.equal(readChart(line).xType, "time");
  assert.deepEqual(readChart(line).series[0].points[2], { x: Date.UTC(2025, 2, 1), label: "Mar 2025", y: 400 });
  assert.deepEqual(readChart(bars(["b", "a"])).categories, ["b", "a"]);
  const histogram = spec("bar", [{ x: 0, x2: 10, y: 3 }, { x: 10, x2: 20, y: 5 }], { type: "quantitative", bin: { binned: true, step: 10 } }, { x2: { field: "x2" } });
  assert.deepEqual(readChart(histogram).series[0].points.map(({ label }) => label), ["0 – 10", "10 – 20"]);
  assert.equal(readChart(spec("point", [{ x: 1.5, y: 2 }], { type: "quantitative", scale: { zero: false } })).mark, "point");
  const pie = { mark: { type: "arc" }, data: { values: [{ x: "a", y: 1 }, { x: "b", y: 3 }] }, encoding: { theta: { field: "y", type: "quantitative", stack: true }, color: { field: "x" }, order: { field: "y" } } };
  assert.deepEqual(readChart(pie).categories, ["a", "b"]);
});

test("a specification that says more than the page draws is left to its picture", () => {
  const { x, y } = line.encoding;
  const others = [
    null, {}, { layer: [line] }, { ...line, transform: [{}] }, { ...line, data: { url: "x" } }, { ...line, mark: "boxplot" },
    { ...line, encoding: { x, y: { ...y, aggregate: "mean" } } }, { ...line, encoding: { x, y: { ...y, scale: { type: "log" } } } },
    { ...line, encoding: { x, y, row: { field: "z" } } }, { ...bars(["a"]), encoding: { ...bars(["a"]).encoding, color: { field: "z" } } },
    spec("line", [{ x: "never", y: 1 }], { type: "temporal" }), spec("line", [{ x: 1, y: "much" }], { type: "quantitative" }),
    spec("line", Array(2001).fill({ x: 1, y: 1 }), { type: "quantitative" }),
  ];
  for (const other of others) assert.equal(readChart(other), null, JSON.stringify(other)?.slice(0, 120));
});

test("several lines are told apart, in the table too", () => {
  const values = ["north", "south"].flatMap((z) => MONTHS.slice(0, 2).map((row) => ({ ...row, z })));
  const chart = readChart(spec("line", values, { type: "temporal" }, { color: { field: "z" } }));
  assert.deepEqual(chart.series.map(({ name }) => name), ["north", "south"]);
  assert.deepEqual(chartTable(chart).rows[2], ["Jan 2025", "south", 0]);
  assert.equal(layOut(chart, 320).targets.length, 4);
});

test("texts have room at every width", () => {
  const days = Array.from({ length: 62 }, (_, day) => ({ x: new Date(Date.UTC(2025, 0, day + 1)).toISOString(), y: day * 1e6 }));
  for (const one of [line, bars(["north", "south"]), spec("line", days, { type: "temporal" }), spec("point", [{ x: -3, y: 1 }, { x: 12345.6, y: 2 }], { type: "quantitative" })]) {
    for (const width of [240, 328, 500, 700, 1200]) {
      const { ticks, targets, height } = layOut(readChart(one), width);
      apart(ticks.x, width);
      assert.ok(ticks.x.length > 0 && ticks.y.length > 1);
      for (const { x, y } of targets) assert.ok(x >= 0 && x <= width && y >= 0 && y <= height, `${x} ${y} of ${width} ${height}`);
    }
  }
});

test("bars with long names lie on a narrow screen, each with its row", () => {
  const chart = readChart(bars(["the north of the country", "the south", "everything else there is"]));
  assert.equal(layOut(chart, 900).lying, false);
  const { lying, ticks, shapes, height } = layOut(chart, 328);
  assert.equal(lying, true);
  assert.equal(shapes.length, 3);
  assert.ok(ticks.y.every(({ at }, index) => index === 0 || at - ticks.y[index - 1].at >= 24) && ticks.y.at(-1).at < height);
});

test("a pie shares its circle; one slice is all of it", () => {
  const pie = (values) => layOut({ mark: "pie", series: [{ name: "", points: values.map((y, x) => ({ x, y, label: "" })) }], categories: [] }, 328);
  assert.deepEqual(pie([1, 3]).shapes.map(({ share }) => share), [0.25, 0.75]);
  assert.match(pie([5]).shapes[0].path, /^M[\d. ]+A/);
  assert.ok(pie([0, 0]).shapes.every(({ path }) => !path.includes("NaN")));
});

test("numbers on an axis are round, and hold all values", () => {
  assert.deepEqual(ticksOf(0, 912, 5), [0, 200, 400, 600, 800, 1000]);
  assert.deepEqual(ticksOf(-3, 7, 4), [-5, 0, 5, 10]);
  assert.deepEqual(ticksOf(5, 5, 3), [0, 2, 4, 6]);
  assert.deepEqual(ticksOf(0.1, 0.3, 2), [0.1, 0.2, 0.3]);
});
