import assert from "node:assert/strict";
import { test } from "node:test";

import { dictation, heard, voiceFault, written } from "../../understudy/page/composer/voice.js";
import { hasMessage } from "../../understudy/page/client/messages.js";

test("what is said stands at the caret, a space apart", () => {
  const state = heard(dictation("Sales of  please", 9), ["last year"]);
  assert.deepEqual(written(state), { text: "Sales of last year please", caret: 18 });
  assert.deepEqual(written(heard(dictation("Sales of, please", 8), ["March"])), { text: "Sales of March, please", caret: 14 });
  assert.deepEqual(written(heard(dictation(""), ["Hello"])), { text: "Hello", caret: 5 });
  assert.deepEqual(written(heard(dictation("a b", 1), ["x"])), { text: "a x b", caret: 3 });
});

test("it takes the place of what is selected", () => {
  assert.equal(written(heard(dictation("Sales of May", 9, 12), ["June"])).text, "Sales of June");
});

test("interim words are replaced by the final ones", () => {
  const first = heard(dictation("One"), [" to"]);
  const then = heard(first, ["two", " three"]);
  assert.equal(written(first).text, "One to");
  assert.equal(written(then).text, "One two three");
  assert.equal(written(heard(then, [])).text, "One");
});

test("the same words are the same state", () => {
  const state = heard(dictation("One"), ["two"]);
  assert.equal(heard(state, [" two "]), state);
});

test("each error has a sentence, but that of the user", () => {
  for (const name of ["not-allowed", "service-not-allowed", "audio-capture", "no-speech", "network", "language-not-supported", "bad-grammar", "constructor"]) {
    assert.ok(hasMessage(voiceFault(name)), name);
  }
  assert.equal(voiceFault("aborted"), null);
});
