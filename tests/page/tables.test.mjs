import assert from "node:assert/strict";
import { test } from "node:test";

import { asTable, nextDirection, numberOf, resultTables, sorted } from "../../understudy/page/tables/table_data.js";

const order = (cells, direction) => sorted(cells.map((cell) => [cell]), ([cell]) => cell, direction).map(([cell]) => cell);

test("numbers are sorted as numbers however they are written", () => {
  assert.deepEqual(order(["1,200", "9", "85.5 %", "−3", 40], "ascending"), ["−3", "9", 40, "85.5 %", "1,200"]);
  assert.deepEqual(["€1,234.50", "12 kg", "1e3", "2025-01-03", "", "ten", "1,2,3"].map(numberOf), [1234.5, 12, 1000, null, null, null, null]);
});

test("what is empty stays last, either way, and equals keep their order", () => {
  assert.deepEqual(order(["b", "", "a", null, "–"], "ascending"), ["a", "b", "", null, "–"]);
  assert.deepEqual(order(["b", "", "a", null, "–"], "descending"), ["b", "a", "", null, "–"]);
  const rows = [{ a: 1, n: 1 }, { a: 1, n: 2 }, { a: 0, n: 3 }];
  assert.deepEqual(sorted(rows, (row) => row.a, "descending").map(({ n }) => n), [1, 2, 3]);
});

test("dates and names with numbers in them are sorted as people read them", () => {
  assert.deepEqual(order(["2025-10-01", "2025-02-11", "2024-12-31"], "ascending"), ["2024-12-31", "2025-02-11", "2025-10-01"]);
  assert.deepEqual(order(["shop 10", "shop 9"], "ascending"), ["shop 9", "shop 10"]);
});

test("a head goes up, down, and back", () => {
  assert.deepEqual(["none", "ascending", "descending"].map(nextDirection), ["ascending", "descending", "none"]);
});

test("records and columns with rows are tables, other values are not", () => {
  assert.deepEqual(asTable([{ a: 1 }, { b: 2 }]), { columns: ["a", "b"], rows: [[1, undefined], [undefined, 2]] });
  assert.deepEqual(asTable({ columns: [{ name: "a" }], rows: [[1]] }).columns, ["a"]);
  for (const other of [null, [], [1], { columns: [] }, "text"]) assert.equal(asTable(other), null);
});

test("the tables of an answer are those results that are looked at as tables", () => {
  const result = (kind, value) => ({ tool_name: "query_table", kind, result: value });
  const rows = { columns: ["a"], rows: [[1], [2]] };
  const final = { data: { results: [result("drill_down", rows), result("analysis", rows), result("table", { columns: ["a"], rows: [[1]] }), result("table", "text"), {}] } };
  assert.deepEqual(resultTables(final), [{ tool: "query_table", table: rows }]);
  assert.deepEqual(resultTables({ data: null }), []);
});
