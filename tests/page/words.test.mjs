import assert from "node:assert/strict";
import { test } from "node:test";

import { ownSocket, restBase } from "../../understudy/page/client/address.js";
import { nextSteps } from "../../understudy/page/answer/answer_end.js";
import { remaining, visibly } from "../../understudy/page/approvals/approval.js";

test("nothing hides in what is to be allowed", () => {
  assert.equal(visibly("pay\u202e001\u200b\u0007 €\n\tto 🎭 me"), "pay\\u{202e}001\\u{200b}\\u{7} €\n\tto 🎭 me");
  assert.equal(visibly("a\u{e0041}b\ufeff\u2028"), "a\\u{e0041}b\\u{feff}\\u{2028}");
});

test("time left is hours, minutes and seconds, rounded up", () => {
  assert.deepEqual([86_400_000, 3_661_000, 300_000, 61_001, 900, 0, -5].map(remaining), ["24:00:00 left", "1:01:01 left", "5:00 left", "1:02 left", "0:01 left", "Time is up", "Time is up"]);
});

test("the next steps of an answer are those of its results, each once", () => {
  const [more, stop] = [{ label: "More", tool: "tell", arguments: { n: 2 } }, { label: "Stop", tool: "stop", arguments: {} }];
  const results = [{ tool_name: "a", next_steps: [more, stop] }, { tool_name: "b" }, { next_steps: [more, { label: 1 }, { label: "Old", message: "Old" }, null] }];
  assert.deepEqual(nextSteps({ data: { results } }), [more, stop]);
  assert.deepEqual([null, {}, { data: { results: "none" } }].map(nextSteps), [[], [], []]);
});

test("a page finds its own server; others are named whole", () => {
  const page = new URL("https://chat.example.org/#t1");
  assert.equal(ownSocket(page), "wss://chat.example.org/api/ws/agent");
  assert.equal(restBase(ownSocket(page), page), "");
  assert.equal(restBase("ws://127.0.0.1:8002/ws"), "http://127.0.0.1:8002");
  assert.equal(restBase("wss://other.example.org/ws", page), "https://other.example.org");
});
