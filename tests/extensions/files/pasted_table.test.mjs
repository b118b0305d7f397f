import assert from "node:assert/strict";
import { test } from "node:test";

import { isLong, pastedTable, toCsv, toMarkdown } from "../../../understudy/page/extensions/files/pasted.js";

test("a selection of a spreadsheet is a table, its quoted cells whole", () => {
  const rows = pastedTable('name\tnote\r\nAda\t"two\nlines, ""quoted"""\r\nBob\t\r\n');
  assert.deepEqual(rows, [["name", "note"], ["Ada", 'two\nlines, "quoted"'], ["Bob", ""]]);
  assert.equal(toCsv(rows), 'name,note\nAda,"two\nlines, ""quoted"""\nBob,\n');
  assert.equal(toMarkdown(rows), '| name | note |\n| --- | --- |\n| Ada | two lines, "quoted" |\n| Bob |   |');
});

test("other texts are no tables: a sentence, a row, indented code, uneven lines", () => {
  for (const text of ["one line", "a\tb", "a\nb\nc", "\tif x:\n\t\treturn y\n\telse:", "a\tb\nc", "\ta\n\tb\n\tc", `${"x\ty\n".repeat(300_000)}`]) {
    assert.equal(pastedTable(text), null, text.slice(0, 30));
  }
});

test("what the clipboard says is a table is filled up to its columns", () => {
  assert.deepEqual(pastedTable("a\tb\nc", true), [["a", "b"], ["c", ""]]);
});

test("a cell cannot break its row", () => {
  assert.equal(toMarkdown([["a|b", "c\\"], ["", "d"]]), "| a\\|b | c\\\\ |\n| --- | --- |\n|   | d |");
  assert.deepEqual(pastedTable('"open\tb\nc\td'), [['"open', "b"], ["c", "d"]]);
});

test("a long quoted cell is read in no time", () => {
  const began = performance.now();
  pastedTable(`"${'""'.repeat(100_000)}\tb\n${"c\td\n".repeat(1000)}`);
  assert.ok(performance.now() - began < 5_000);
});

test("a text is long by its characters or by its lines", () => {
  assert.equal(isLong("x".repeat(10_000)), false);
  assert.equal(isLong("x".repeat(10_001)), true);
  assert.equal(isLong("x\n".repeat(499) + "x"), false);
  assert.equal(isLong("x\n".repeat(500) + "x"), true);
});
