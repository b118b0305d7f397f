import assert from "node:assert/strict";
import { test } from "node:test";

import { activity, summary, tallied } from "../../understudy/page/run/run_summary.js";
import { newTurn } from "../../understudy/page/client/threads/turns.js";

const call = (tool, status = "ok", more = {}) => ({ kind: "tool", tool, status, text: "", ...more });
const told = (steps, more = {}, names = []) => summary(newTurn({ status: "done", steps, ...more }), steps, names);

test("an ended run says what it used, and what of it failed or was refused", () => {
  assert.equal(told([call("look")]), "Used 1 tool");
  assert.equal(told([call("look"), call("pay", "failed"), call("send", "timed_out")]), "Used 3 tools, 2 failed");
  assert.equal(told([call("look", "failed")]), "Used 1 tool, 1 failed");
  assert.equal(told([call("look"), call("look", "killed"), call("pay", "denied")]), "Used 2 tools · 3 calls, 1 failed, 1 not allowed");
  assert.equal(told([call("look", "cancelled")], { status: "cancelled" }), "Stopped · Used 1 tool");
  assert.equal(told([], {}, ["Guide", "Insights"]), "Thought about it · Guide → Insights");
});

test("a call that runs or was stopped has not failed", () => {
  assert.deepEqual(tallied([call("look", "running"), call("pay", "cancelled")]), { tools: 2, calls: 2, failed: 0, denied: 0 });
});

test("a run at work says what it does now", () => {
  const doing = (more) => activity(newTurn({ status: "running", ...more }));
  assert.equal(doing({}), "Working");
  assert.equal(doing({ steps: [call("look_up", "running")] }), "Look up");
  assert.equal(doing({ steps: [call("a", "running"), call("b", "running")] }), "Running 2 tools");
  assert.equal(doing({ steps: [call("a", "running", { approval: { state: "open" } })] }), "Waiting for your approval");
  assert.equal(doing({ status: "accepted", progress: { note: "Waiting for book, which cannot be interrupted" } }), "Waiting for book, which cannot be interrupted");
  assert.equal(doing({ stopping: true, progress: { note: "x" } }), "Stopping");
});
