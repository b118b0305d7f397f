import assert from "node:assert/strict";
import { test } from "node:test";

import { used } from "../../understudy/page/client/format.js";
import { grouped, nested, tally } from "../../understudy/page/run/run_summary.js";

const call = (number, more = {}) => ({ key: `c${number}`, kind: "tool", tool: "look", status: "ok", ...more });
const calls = (count, from = 1) => Array.from({ length: count }, (_, index) => call(from + index));
const keys = (rows) => rows.map((row) => (row.steps ? row.steps.length : row.key));

test("many calls that went well are one row, few stay as they are", () => {
  assert.deepEqual(keys(grouped(calls(6), false)), ["c1", "c2", "c3", "c4", "c5", "c6"]);
  assert.deepEqual(keys(grouped(calls(60), false)), [60]);
});

test("the calls of a run at work join the group, its latest thoughts and the running call do not", () => {
  const steps = [...calls(9), { key: "hm", kind: "thinking", text: "Nearly there" }, call(10, { status: "running" })];
  assert.deepEqual(keys(grouped(steps, true)), [9, "hm", "c10"]);
  assert.equal(grouped(steps, true)[0].key, grouped([...calls(8)], true)[0].key);
});

test("what went wrong, was asked, can be undone or was said by the user stays in sight", () => {
  const odd = [call("f", { status: "failed" }), call("a", { approval: {} }), call("u", { undo: {} }), { key: "s", kind: "steer", text: "and" }, { key: "n", kind: "notice", text: "Another model goes on" }];
  assert.deepEqual(keys(grouped([...calls(8), ...odd, ...calls(7, 20)], false)), [8, "cf", "ca", "cu", "s", "n", 7]);
});

test("an announcement is left out when its call follows, a thought is not", () => {
  const next = { key: "n", kind: "thinking", text: "Next: Look" };
  assert.deepEqual(keys(grouped([next, call(1)], false)), ["c1"]);
  assert.deepEqual(keys(grouped([next], true)), []);
  assert.deepEqual(keys(grouped([next], false)), ["n"]);
  assert.deepEqual(keys(grouped([{ ...next, text: "Nearly there" }, call(1)], false)), ["n", "c1"]);
});

test("the tools of a group are counted, the most used first", () => {
  assert.equal(tally([call(1, { tool: "pay" }), ...calls(2, 2)], (name) => name), "look ×2, pay");
});

test("usage says what was cached, thought and paid, and nothing of words", () => {
  const usage = { turns: 4, input: 12300, output: 480, cached: 11500, reasoning: 64, cost: 0.01234 };
  assert.equal(used(usage, { name: "openai:x" }, "EUR"), "4 turns · 12,300 tokens in, 93 % cached · 480 out, 64 reasoning · 0.0123 EUR");
  assert.equal(used(usage, { name: "openai:x" }, "EUR", false), "4 turns · 12,300 tokens in, 93 % cached · 480 out, 64 reasoning");
  assert.equal(used({ turns: 1, input: 9, output: 2 }, { name: "openai:x" }, ""), "1 turn · 9 tokens in · 2 out");
  assert.equal(used(usage, { name: "offline" }, "EUR"), "");
});

test("what subagents do stands below the calls that ask them, whichever order it came in", () => {
  const call = (id, agentId) => ({ kind: "tool", key: id, callId: id, agentId });
  const sub = (id, parent) => ({ kind: "subagent", key: id, agentId: id, parent });
  const steps = [
    { kind: "agent", key: "boss", agentId: "boss" }, call("c1", "boss"), call("c2", "boss"), sub("s1", "c1"), sub("s2", "c2"),
    call("c3", "s1"), { kind: "thinking", key: "hm", agentId: "s2" }, sub("s3", "c3"), call("c4", "s3"), call("c5", "boss"),
  ];
  const { top, below } = nested(steps);
  assert.deepEqual(keys(top), ["boss", "c1", "c2", "c5"]);
  assert.deepEqual([...below].map(([id, own]) => [id, keys(own)]), [["c1", ["s1", "c3"]], ["c2", ["s2", "hm"]], ["c3", ["s3", "c4"]]]);
  assert.deepEqual(keys(nested([sub("s1", "gone"), call("c1", "s1")]).top), ["s1", "c1"]);
});

test("a call is folded with what subagents did for it, unless that went wrong", () => {
  const asks = calls(7).map((one) => ({ ...one, callId: one.key }));
  const sub = { key: "s1", kind: "subagent", status: "success" };
  assert.deepEqual(keys(grouped(asks, false, new Map([["c3", [sub, call("in")]]]))), [7]);
  assert.deepEqual(keys(grouped(asks, false, new Map([["c7", [sub, call("in", { status: "failed" })]]]))), ["c1", "c2", "c3", "c4", "c5", "c6", "c7"]);
});
