import assert from "node:assert/strict";
import { test } from "node:test";

import { chartTable } from "../../understudy/page/charts/chart_data.js";

const spec = (values, x, more = {}) => ({ mark: "bar", data: { values }, encoding: { x: { field: "x", ...x }, y: { field: "y", type: "quantitative", title: "sum of sales" }, ...more } });

test("a table has the titles of the chart, and times as exact as all of them are", () => {
  const months = spec([{ x: "2025-01-01T00:00:00Z", y: 1 }, { x: "2025-02-01T00:00:00Z", y: 2.5 }], { title: "month" });
  assert.deepEqual(chartTable(months), { columns: ["month", "sum of sales"], rows: [["Jan 2025", 1], ["Feb 2025", 2.5]] });
  const told = (...times) => chartTable(spec(times.map((x) => ({ x, y: 1 })), {})).rows.map(([x]) => x);
  assert.deepEqual(told("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"), ["2024", "2025"]);
  assert.deepEqual(told("2024-01-02", "2025-01-01"), ["Jan 2, 2024", "Jan 1, 2025"]);
  assert.deepEqual(told("2024-01-01T08:30:00", "2025-01-01T00:00:00"), ["Jan 1, 2024, 08:30 AM", "Jan 1, 2025, 12:00 AM"]);
  assert.deepEqual(told("2024-01-01", "no time"), ["2024-01-01", "no time"]);
});

test("the two ends of a step are one column", () => {
  const histogram = spec([{ x: 0, y: 3, x2: 10 }, { x: 10, y: 5, x2: 20 }], { title: "age" }, { x2: { field: "x2" } });
  assert.deepEqual(chartTable(histogram), { columns: ["age", "sum of sales"], rows: [["0 – 10", 3], ["10 – 20", 5]] });
});

test("rows are found wherever a specification has them", () => {
  const rows = [{ a: 1 }];
  const found = { columns: ["a"], rows: [[1]] };
  assert.deepEqual(chartTable({ data: { name: "d" }, datasets: { c: [{ b: 2 }], d: rows } }), found);
  assert.deepEqual(chartTable({ layer: [{ mark: "bar", data: { values: rows } }, {}] }), found);
  assert.deepEqual(chartTable({ spec: { data: { values: rows } } }), found);
  for (const none of [null, undefined, {}, { data: { url: "x" } }, { data: { values: [] } }, { data: { values: [1, 2] } }, { data: null, layer: "x", encoding: null }]) assert.equal(chartTable(none), null);
});
