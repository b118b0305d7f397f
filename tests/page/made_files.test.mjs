import assert from "node:assert/strict";
import { test } from "node:test";

import { historyTurns } from "../../understudy/page/client/threads/history_turns.js";
import { ending, likelyKind, madeFiles } from "../../understudy/page/files/kinds.js";

const CSV = { id: "a", name: "sales.csv", media_type: "text/csv", size: 3 };
const PNG = { id: "b", name: "plot.png", media_type: "image/png", size: 3 };

test("a file that a call saved is shown once, before and after the answer names it", () => {
  const steps = [{ kind: "tool", files: [CSV] }, { kind: "thinking" }];
  assert.deepEqual(madeFiles({ steps, final: null }), [CSV]);
  assert.deepEqual(madeFiles({ steps, final: { data: { files: [CSV, PNG, { name: "no id" }] } } }), [CSV, PNG]);
  assert.deepEqual(madeFiles({ steps: [], final: { data: { files: "nonsense" } } }), []);
});

test("the history has the files of an answer", () => {
  const [turn] = historyTurns([
    { id: "m", role: "user", content: "go", run_id: "r", parent_id: null, created_at: 1 },
    { id: "answer-r", role: "assistant", content: "Done", run_id: "r", parent_id: "m", created_at: 2, status: "success", files: [CSV], next_steps: [] },
  ]);
  assert.deepEqual(madeFiles(turn), [CSV]);
});

test("what a file is likely to be", () => {
  assert.deepEqual([CSV, PNG, { name: "a.py" }, { name: "a.zip", media_type: "application/zip" }, { name: "x", media_type: "text/plain" }].map(likelyKind), ["table", "image", "text", "file", "text"]);
  assert.deepEqual(["a.tar.gz", "Makefile"].map(ending), ["GZ", ""]);
});
