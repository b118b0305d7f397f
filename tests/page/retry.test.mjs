import assert from "node:assert/strict";
import { test } from "node:test";

import { effectsFrom } from "../../understudy/page/run/undo.js";

const call = (key, tool, status = "ok", undo = null) => ({ kind: "tool", key, tool, status, ...(undo && { undo: { state: undo } }) });
const keys = ({ undoable, lasting }) => [undoable, lasting].map((calls) => calls.map(({ key }) => key));
const TOOLS = [{ name: "look", repeatable: true }, { name: "pay", repeatable: false }];

test("what a repeated call and those after it have done is named, by whether it can be undone", () => {
  const steps = [
    call("c0", "pay"), call("c1", "look"), { kind: "thinking", key: "t" }, call("c2", "pay", "ok", "open"), call("c3", "pay"), call("c4", "of_server"),
    call("c5", "pay", "denied"), call("c6", "pay", "failed"), call("c7", "pay", "ok", "undone"), call("c8", "pay", "timed_out"),
  ];
  assert.deepEqual(keys(effectsFrom({ steps }, steps[1], TOOLS)), [["c2"], ["c3", "c4", "c8"]]);
  assert.deepEqual(keys(effectsFrom({ steps }, steps[7], TOOLS)), [[], ["c8"]]);
});
