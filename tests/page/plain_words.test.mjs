import assert from "node:assert/strict";
import { test } from "node:test";

import { plainParts, plainWords, spoken } from "../../understudy/page/client/plain_words.js";

const WORDS = [
  ["**bold** and *it", "bold and it"],
  ["# Title", "Title"],
  ["- item\n- other", "item\nother"],
  ["[text](https://exa", "text"],
  ["![alt](/a.png)", "alt"],
  ["| a | b |\n|---|---|\n| 1 |", "  a  b  \n\n  1  "],
  ["`code` ~~gone", "code gone"],
  ["snake_case 2 * 3", "snake_case 2 * 3"],
  ["\\(a^2\\)", "a^2"],
  ["> said", "said"],
];

for (const [markdown, words] of WORDS) {
  test(`the words of ${JSON.stringify(markdown)}`, () => assert.equal(plainWords(markdown), words));
}

test("code and formulas of a lost preview are code, and no mark is left of the rest", () => {
  const text = "The **area** is \\(\\pi r^2\\), of `x[0]` and \\(open\n\n```python\ndef f(x):\n    return x ** 2\n```\n\nSee [it](https://e";
  assert.deepEqual(plainParts(text), [
    { words: [
      { text: "The area is ", code: false }, { text: "\\pi r^2", code: true }, { text: ", of ", code: false },
      { text: "x[0]", code: true }, { text: " and ", code: false }, { text: "open", code: true },
    ] },
    { code: "def f(x):\n    return x ** 2", language: "python" },
    { words: [{ text: "See it", code: false }] },
  ]);
  assert.deepEqual(plainParts("urn 1\n```\nend", true), [{ code: "urn 1", language: null }, { words: [{ text: "end", code: false }] }]);
  assert.deepEqual(plainParts("```js\n"), [{ code: "", language: "js" }]);
  assert.deepEqual(plainParts("$$\na = b\n$$"), [{ words: [{ text: "\na = b\n", code: true }] }]);
});

test("no cut of a document leaves a mark in its words", () => {
  const text = "# Title\n\nSome **bold** and *it **held** until* ~~gone~~ [link](https://example.org/x) \\(\\pi\\) $x_1$ `code`\n\n- [x] done\n\n| a | b |\n|---|:-:|\n| 1 | *2* |\n\n```py\na | b\n```\n\n> said\n\n\\[\ne\n\\]\n";
  for (let end = 1; end <= text.length; end += 1) {
    for (const { words = [] } of plainParts(text.slice(0, end))) {
      for (const { text: shown, code } of words) assert.ok(code || !/[*`|\\$[\]]|~~|^#/m.test(shown), JSON.stringify([text.slice(0, end).slice(-30), shown]));
    }
  }
});

test("a long text of marks takes little time", () => {
  const began = performance.now();
  for (const mark of ["*", "[", "`", "_a", "| ", "-", "# ", "![a]("]) plainParts(mark.repeat(20_000 / mark.length));
  assert.ok(performance.now() - began < 2000);
});

test("what is said is cut behind a sentence, else behind a word", () => {
  assert.equal(spoken("  One\n two. ", 100), "One two.");
  assert.equal(spoken("First one. Second one. Third one.", 25), "First one. Second one.");
  assert.equal(spoken("no sentence ends in all of this", 20), "no sentence ends in…");
  assert.equal(spoken("x".repeat(30), 10), `${"x".repeat(10)}…`);
});
