/** What the page gives to be saved, and what it reads of addresses. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { decoded } from "../../understudy/page/client/address.js";
import { csv } from "../../understudy/page/tables/csv.js";

test("a cell that a spreadsheet would take for a formula is text", () => {
  for (const [cell, written] of [
    ["=1+1", "'=1+1"],
    ["=HYPERLINK(\"http://evil.example\")", "\"'=HYPERLINK(\"\"http://evil.example\"\")\""],
    ["@SUM(A1)", "'@SUM(A1)"],
    ["+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"],
    ["-2+3", "'-2+3"],
    ["\t=1", "'\t=1"],
    ["\r=1", "\"'\r=1\""],
    ["\uFF1D1", "'\uFF1D1"],
    ["a=1", "a=1"],
    ["-5", "-5"],
    ["+1.5e3", "+1.5e3"],
    ["-.5", "-.5"],
    [-5, "-5"],
    ["", ""],
  ]) {
    assert.equal(csv({ columns: ["c"], rows: [[cell]] }), `c\r\n${written}`);
    assert.equal(csv({ columns: [cell], rows: [] }), written);
  }
});

test("an address that is no code is read as it stands", () => {
  assert.equal(decoded("%"), "%");
  assert.equal(decoded("%E0%A4%A"), "%E0%A4%A");
  assert.equal(decoded("a%20b"), "a b");
});
