import assert from "node:assert/strict";
import { test } from "node:test";

import { WidgetBridge } from "../../understudy/page/client/widget_bridge.js";

function bridge(more = {}) {
  const sent = [];
  const heights = [];
  const links = [];
  const tool = { name: "dice_roll", parameters: { sides: 6 }, result: { eyes: 4 }, summary: "four" };
  const made = new WidgetBridge({
    send: (message) => sent.push(message), tool, context: { theme: "dark", locale: "en" }, onHeight: (px) => heights.push(px),
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

test("what is not offered is refused: tools, resources, messages, unknown words", async () => {
  const { made, sent } = bridge();
  for (const method of ["tools/call", "resources/read", "ui/message", "ui/update-model-context", "constructor", "__proto__"]) await made.take(say(method, {}, method));
  assert.ok(sent.length === 6 && sent.every(({ error }) => error.code === -32601));
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
  assert.ok(sent.length < 500);
});
