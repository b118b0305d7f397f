import assert from "node:assert/strict";
import { test } from "node:test";

import { WidgetCalls } from "../../../understudy/page/extensions/widgets/calls.js";

const turn = (messageId, more) => ({ messageId, status: "done", steps: [], error: null, final: null, ...more });

function calls(answer = async () => ({})) {
  const asked = [];
  const made = new WidgetCalls({ chat: { current: "t" }, ask: (method, path, body) => { asked.push(body); return answer(method, path); } });
  return { made, asked, id: () => `widget-${asked.at(-1).request_id}` };
}

test("a call has the result of its turn once that has ended", async () => {
  const { made, asked, id } = calls();
  const result = made.call("c1", "roll", { sides: 6 });
  assert.deepEqual({ ...asked[0], request_id: "" }, { call_id: "c1", name: "roll", arguments: { sides: 6 }, request_id: "" });
  const step = { kind: "tool", status: "ok", result: { eyes: 4 }, summary: "four" };
  made.take({ threadId: "t", turns: [turn(id(), { status: "running", steps: [step] }), turn("other", { steps: [step] })] });
  assert.equal(made.waiting.size, 1);
  made.take({ threadId: "t", turns: [turn(id(), { steps: [{ kind: "thinking" }, step] })] });
  assert.deepEqual((await result).structuredContent, { eyes: 4 });
  assert.equal(made.waiting.size, 0);
});

test("a call that is denied, fails or is left is an error of the tool", async () => {
  for (const [end, text] of [
    [{ steps: [{ kind: "tool", status: "denied", summary: "Not allowed." }] }, "Not allowed."],
    [{ status: "failed", error: { message: "The server is away." } }, "The server is away."],
    [{ final: { message: "There is no tool." } }, "There is no tool."],
  ]) {
    const { made, id } = calls();
    const result = made.call("c1", "roll", {});
    made.take({ threadId: "t", turns: [turn(id(), end)] });
    assert.deepEqual(await result, { content: [{ type: "text", text }], isError: true });
  }
  const { made } = calls();
  const result = made.call("c1", "roll", {});
  made.take({ threadId: "t", turns: [] });
  assert.equal(made.waiting.size, 1);
  made.take({ threadId: "another", turns: [] });
  assert.equal((await result).isError, true);
});

test("a call that the server refuses is refused, and not waited for", async () => {
  const { made } = calls(async () => { throw new Error("That chat is archived."); });
  await assert.rejects(made.call("c1", "roll", {}), { message: "That chat is archived." });
  assert.equal(made.waiting.size, 0);
});
