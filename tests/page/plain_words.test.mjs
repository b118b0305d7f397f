import assert from "node:assert/strict";
import { test } from "node:test";

import { plainWords, spoken } from "../../understudy/page/client/plain_words.js";

const WORDS = [
  ["**bold** and *it", "bold and it"],
  ["# Title", "Title"],
  ["- item\n- other", "item\nother"],
  ["[text](https://exa", "text"],
  ["![alt](/a.png)", "alt"],
  ["| a | b |\n|---|---|\n| 1 |", "  a  b  \n\n  1  "],
  ["```python\nx = 1", "\nx = 1"],
  ["`code` ~~gone", "code gone"],
  ["snake_case 2 * 3", "snake_case 2 * 3"],
  ["\\(a^2\\)", "a^2"],
  ["> said", "said"],
];

for (const [markdown, words] of WORDS) {
  test(`the words of ${JSON.stringify(markdown)}`, () => assert.equal(plainWords(markdown), words));
}

test("a long text of marks takes little time", () => {
  const began = performance.now();
  for (const mark of ["*", "[", "`", "_a", "| ", "-", "# ", "![a]("]) plainWords(mark.repeat(20_000 / mark.length));
  assert.ok(performance.now() - began < 2000);
});

test("what is said is cut behind a sentence, else behind a word", () => {
  assert.equal(spoken("  One\n two. ", 100), "One two.");
  assert.equal(spoken("First one. Second one. Third one.", 25), "First one. Second one.");
  assert.equal(spoken("no sentence ends in all of this", 20), "no sentence ends in…");
  assert.equal(spoken("x".repeat(30), 10), `${"x".repeat(10)}…`);
});
