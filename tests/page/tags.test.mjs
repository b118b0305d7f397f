import assert from "node:assert/strict";
import { test } from "node:test";

import { counted, MOST_TAGS, searched, suggested, tagOf, toggled } from "../../understudy/page/client/tags.js";

test("a tag has the form in which the server keeps it", () => {
  assert.equal(tagOf("  #Holiday   plans "), "holiday-plans");
  assert.equal(tagOf("cafe\u0301"), "café");
  assert.equal(tagOf("हिन्दी"), "हिन्दी");
  assert.equal(tagOf("𐐨".repeat(32)), "𐐨".repeat(32), "characters, not units of UTF-16");
  for (const wrong of ["", " ", "#", "a!", "##a", "a,b", "a\u200bb", "x".repeat(33)]) assert.equal(tagOf(wrong), null, wrong);
});

test("in a search words with # are tags, if they can be", () => {
  assert.deepEqual(searched(" #Work budget  #übung "), { query: "budget", tags: ["work", "übung"] });
  assert.deepEqual(searched("C# #1! # #a #A"), { query: "C# #1! #", tags: ["a"] });
  const many = Array.from({ length: MOST_TAGS + 1 }, (_, n) => `#t${n}`).join(" ");
  assert.deepEqual(searched(many), { query: "#t8", tags: ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"] });
});

test("a tag is put into a search, and taken out of it however it was written", () => {
  assert.equal(toggled("", "work"), "#work");
  assert.equal(toggled("budget", "work"), "#work budget");
  assert.equal(toggled("#Work budget #workshop", "work"), "budget #workshop");
});

test("the most used come first, a chat that is listed twice counts once", () => {
  const one = { id: "1", tags: ["b", "a"] };
  assert.deepEqual(counted([one, one, { id: "2", tags: ["c", "b"] }, { id: "3", tags: ["c"] }, { id: "4" }]), ["b", "c", "a"]);
});

test("what begins with what is typed is offered first, and what the chat has is not", () => {
  assert.deepEqual(suggested(["homework", "work", "workshop"], ["work"], "#Wor"), ["workshop", "homework"]);
  assert.deepEqual(suggested(["b", "a"], [], ""), ["b", "a"]);
  assert.equal(suggested(Array.from({ length: 50 }, (_, n) => `t${n}`), [], "").length, 8);
});
