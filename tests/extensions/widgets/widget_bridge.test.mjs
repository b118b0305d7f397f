import assert from "node:assert/strict";
import { test } from "node:test";

import { callResult, WidgetBridge } from "../../../understudy/page/extensions/widgets/bridge.js";

function bridge(more = {}) {
  const sent = [];
  const heights = [];
  const links = [];
  const tool = { definition: { name: "roll" }, parameters: { sides: 6 }, result: { eyes: 4 }, summary: "four" };
  const made = new WidgetBridge({
    send: (message) => sent.push(message), tool, context: { theme: "dark", locale: "en" }, onHeight: (px) => heights.push(px), now: () => 0,
    onLink: async (url) => { links.push(url); return true; }, ...more,
  });
  return { made, sent, heights, links };
}
const say = (method, params, id) => ({ jsonrpc: "2.0", method, ...(params && { params }), ...(id !== undefined && { id }) });

test("a widget is greeted, and told of the call", async () => {
  const { made, sent } = bridge();
  await made.take(say("ui/initialize", {}, 1));
  await made.take(say("ui/notifications/initialized"));
  assert.deepEqual(sent.map(({ method, id }) => method ?? id), [1, "ui/notifications/tool-input", "ui/notifications/tool-result"]);
  assert.equal(sent[0].result.hostContext.theme, "dark");
  assert.deepEqual(sent[2].params.structuredContent, { eyes: 4 });
});

test("what is not offered is refused: resources, the context of models, unknown words", async () => {
  const { made, sent } = bridge();
  for (const method of ["resources/read", "ui/update-model-context", "tools/list", "constructor", "__proto__"]) await made.take(say(method, {}, method));
  assert.ok(sent.length === 5 && sent.every(({ error }) => error.code === -32601));
  await made.take(say("ui/request-display-mode", { mode: "fullscreen" }, 9));
  assert.deepEqual(sent.at(-1).result, { mode: "inline" });
});

test("nothing is said to a widget before it is initialized, and then changes of the page", async () => {
  const { made, sent } = bridge();
  await made.take(say("ui/initialize", {}, 1));
  made.change({ theme: "light" });
  assert.deepEqual([sent.length, made.used], [1, false]);
  await made.take(say("ui/notifications/initialized"));
  await made.take(say("ui/notifications/initialized"));
  made.change({ theme: "dark" });
  assert.deepEqual(sent.slice(1).map(({ method }) => method), ["ui/notifications/tool-input", "ui/notifications/tool-result", "ui/notifications/host-context-changed"]);
  assert.deepEqual(sent.at(-1).params, { theme: "dark" });
});

test("a call of a tool is passed on if it is one, four at a time, and its failure is an error", async () => {
  const calls = [];
  let settle = () => {};
  const onCall = (...call) => { calls.push(call); return new Promise((resolve, reject) => { settle = { resolve, reject }; }); };
  const { made, sent } = bridge({ onCall });
  for (const params of [{}, { name: 5 }, { name: "" }, { name: "x".repeat(201) }, { name: "a", arguments: [1] }, { name: "a", arguments: "b" }]) await made.take(say("tools/call", params, 0));
  assert.ok(calls.length === 0 && sent.every(({ error }) => error.code === -32602));
  const ends = [1, 2, 3, 4].map((id) => made.take(say("tools/call", { name: "roll", ...(id === 1 && { arguments: { sides: 6 } }) }, id)));
  assert.deepEqual(calls, [["roll", { sides: 6 }], ["roll", {}], ["roll", {}], ["roll", {}]]);
  await made.take(say("tools/call", { name: "roll" }, 5));
  assert.deepEqual([sent.at(-1).id, sent.at(-1).error.message, calls.length], [5, "busy", 4]);
  settle.reject(new Error("That chat is archived."));
  await ends[3];
  assert.ok(made.used);
  assert.deepEqual([sent.at(-1).id, sent.at(-1).error], [4, { code: -32000, message: "That chat is archived." }]);
  const fifth = made.take(say("tools/call", { name: "roll" }, 6));
  settle.resolve({ content: [] });
  await fifth;
  assert.deepEqual(sent.at(-1), { jsonrpc: "2.0", id: 6, result: { content: [] } });
});

test("a message is a text of the user's that is not too long, and questions end once some were declined", async () => {
  const asked = [];
  const { made, sent } = bridge({ onMessage: async (text) => { asked.push(text); return asked.length === 1; } });
  const content = (text) => ({ role: "user", content: { type: "text", text } });
  const wrong = [{}, { role: "assistant", content: { type: "text", text: "x" } }, content(""), content(5), content("x".repeat(2001)), { role: "user", content: [{ type: "image" }] }, { role: "user", content: null }];
  for (const params of wrong) await made.take(say("ui/message", params, 0));
  assert.ok(asked.length === 0 && sent.every(({ error }) => error.code === -32602));
  await made.take(say("ui/message", { role: "user", content: [{ type: "text", text: "one" }, { type: "text", text: "two" }] }, 1));
  assert.deepEqual(sent.at(-1), { jsonrpc: "2.0", id: 1, result: {} });
  for (let id = 2; id < 9; id += 1) await made.take(say("ui/message", content("again"), id));
  assert.deepEqual(asked, ["one\ntwo", "again", "again", "again"]);
  assert.equal(sent.at(-1).error.message, "declined");
});

test("results are those of the protocol", () => {
  assert.deepEqual(callResult({ eyes: 4 }), { content: [{ type: "text", text: '{"eyes":4}' }], structuredContent: { eyes: 4 } });
  assert.deepEqual(callResult({ result: { eyes: 4 }, content: ["Four!"] }), { content: [{ type: "text", text: "Four!" }], structuredContent: { eyes: 4 } });
  assert.deepEqual(callResult("four"), { content: [{ type: "text", text: "four" }] });
  assert.deepEqual(callResult({ error: { code: "forbidden" } }, "Not allowed.", true), { content: [{ type: "text", text: "Not allowed." }], isError: true });
});

test("heights are bounded, and only links of the web are asked about, one at a time", async () => {
  const { made, sent, heights, links } = bridge();
  for (const height of [10, 321.2, 1e9, "5", NaN]) await made.take(say("ui/notifications/size-changed", { height }));
  assert.deepEqual(heights, [60, 322, 800]);
  for (const url of ["javascript:alert(1)", "data:text/html,x", "file:///etc", 7, `https://a/${"x".repeat(2001)}`]) await made.take(say("ui/open-link", { url }, 1));
  assert.deepEqual(links, []);
  await Promise.all([made.take(say("ui/open-link", { url: "https://a/" }, 2)), made.take(say("ui/open-link", { url: "https://b/" }, 3))]);
  assert.deepEqual(links, ["https://a/"]);
  assert.ok(sent.some(({ id, result }) => id === 2 && result) && sent.some(({ id, error }) => id === 3 && error));
});

test("noise, floods and giants are not heard", async () => {
  const { made, sent } = bridge();
  const loop = say("ping", {}, 1);
  loop.params.self = loop;
  for (const noise of [null, 5, "text", [], {}, { jsonrpc: "1.0", method: "ping", id: 1 }, { jsonrpc: "2.0", id: 1, result: {} }, loop, say("ping", { text: "x".repeat(70_000) }, 1)]) await made.take(noise);
  assert.deepEqual(sent, []);
  for (let number = 0; number < 600; number += 1) await made.take(say("ping", {}, number));
  assert.ok(made.flooded && sent.length < 500);
});

test("a widget that says little for long is never ended", async () => {
  let now = 0;
  const { made, sent } = bridge({ now: () => now });
  for (let number = 0; number < 2000; number += 1, now += 500) await made.take(say("ping", {}, number));
  assert.ok(!made.flooded && sent.length === 2000);
});
