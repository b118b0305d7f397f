/** What the panel of a run that an operator has taken over shows. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ACTS, eventText, runPath } from "../../../understudy/page/extensions/takeovers/admin.js";

test("of an event, what somebody wrote goes before the server's sentence", () => {
  const texts = [
    { data: { content: "Do it" }, message: "Message received" }, { data: { thought: "x" }, message: "x" }, { data: { message: "Done it" }, message: "" }, { data: {}, message: "" },
  ].map(eventText);
  assert.deepEqual(texts, ["Do it", "x", "Done it", ""]);
  assert.equal(runPath({ run_id: "r/1" }), "admin/runs/r%2F1");
});

test("a run may be taken over", () => {
  assert.deepEqual(ACTS.runs.map(({ label }) => label), ["Take it over"]);
});
