import assert from "node:assert/strict";
import { test } from "node:test";

import { spoken } from "../../understudy/page/client/format.js";

test("what is said is cut behind a sentence, else behind a word", () => {
  assert.equal(spoken("  One\n two. ", 100), "One two.");
  assert.equal(spoken("First one. Second one. Third one.", 25), "First one. Second one.");
  assert.equal(spoken("no sentence ends in all of this", 20), "no sentence ends in…");
  assert.equal(spoken("x".repeat(30), 10), `${"x".repeat(10)}…`);
});
