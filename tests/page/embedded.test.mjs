import assert from "node:assert/strict";
import { test } from "node:test";

import { LANGUAGES } from "../../understudy/page/client/messages.js";
import { TEXTS, optionsOf, settled, tokenFrom } from "../../understudy/page/widget.js";
import { Site, siteAround, siteStorage, siteWindow } from "../../understudy/page/embed/site.js";
import { FakeStorage } from "./fakes.mjs";

/** The two ends of a port that loses nothing: what is posted at one is in the list of the other. */
function line(options) {
  const said = [];
  const port = { postMessage: (message) => said.push(message) };
  const site = new Site("https://shop.example", port, options);
  return { site, said, tell: (data) => port.onmessage({ data }) };
}

test("attributes are options, and what is not said is the default", () => {
  assert.deepEqual(settled(optionsOf({})), { agent: "guide", label: "Chat", side: "end", theme: "auto", language: "en", token: null, open: false });
  const said = settled(optionsOf({ agent: "a/b", label: "Ask us", side: "start", theme: "dark", language: "de-AT", token: "t", open: "" }));
  assert.deepEqual(said, { agent: "a/b", label: "Ask us", side: "start", theme: "dark", language: "de", token: "t", open: true });
  assert.equal(settled({ language: "de" }).label, "Chat");
  assert.equal(settled({ language: "ar" }).label, "محادثة");
});

test("the button speaks each language of the page", () => {
  assert.deepEqual(Object.entries(TEXTS).map(([tag, { dir }]) => [tag, dir]), Object.entries(LANGUAGES).map(([tag, { dir }]) => [tag, dir]));
  for (const [tag, texts] of Object.entries(TEXTS)) {
    assert.deepEqual(Object.keys(texts), Object.keys(TEXTS.en), tag);
    assert.ok(Object.values(texts).every((text) => text.trim() !== ""), tag);
  }
});

test("what is unknown is said in the console, and the default is used", (context) => {
  const warned = context.mock.method(console, "warn", () => {});
  const { side, theme, language } = settled({ side: "top", theme: "pink", language: "xx" });
  assert.deepEqual([side, theme, language], ["end", "auto", "en"]);
  assert.deepEqual(warned.mock.calls.map(({ arguments: [said] }) => said), [
    'understudy: side is one of end, start, not "top"', 'understudy: theme is one of auto, light, dark, not "pink"']);
  assert.throws(() => settled({ token: 5 }), TypeError);
});

test("a token is a string, or what a function gives; nothing is nobody", async () => {
  assert.deepEqual(await Promise.all(["t", () => "u", async () => "v", "", null, () => null, async () => undefined].map(tokenFrom)), ["t", "u", "v", null, null, null, null]);
  await assert.rejects(tokenFrom(async () => 5), /gave number, not a string/);
  await assert.rejects(tokenFrom(async () => { throw new Error("signed out"); }), /signed out/);
});

test("an attribute names a function that is looked for when a token is needed", async () => {
  const { token } = optionsOf({ tokenFunction: "siteToken" });
  await assert.rejects(tokenFrom(token), /there is no function "siteToken"/);
  globalThis.siteToken = async () => "late";
  try {
    assert.equal(await tokenFrom(token), "late");
  } finally {
    delete globalThis.siteToken;
  }
});

test("a site gives its first token with its greeting, and newer ones when it is asked", async () => {
  const { site, said, tell } = line({ token: "first", renewed: true });
  assert.equal(await site.token(), "first");
  const { token } = site;
  assert.equal(await token(), "first");
  const [second, third] = [token(), token()];
  assert.deepEqual(said, [{ type: "token", id: 1 }, { type: "token", id: 2 }]);
  tell({ type: "token", id: 2, token: "third" });
  tell({ type: "token", id: 1, token: null });
  tell({ type: "token", id: 1, token: "too late" });
  assert.equal(await third, "third");
  await assert.rejects(second, /no_token/);
});

test("a site that is silent is not waited for for ever", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { site } = line({ token: "first", renewed: true });
  const asked = site.askToken();
  context.mock.timers.tick(20_000);
  await assert.rejects(asked, /no_token/);
});

test("a token that cannot be renewed, and none, are what the client gets", () => {
  assert.equal(line({ token: "only", renewed: false }).site.token, "only");
  assert.equal(line({ token: null, renewed: true }).site.token, null);
});

test("a site hears that answers have ended, and never a word of them", () => {
  const { site, said } = line({});
  site.took([
    { type: "partial_result", thread_id: "t", run_id: "r", data: { text: "secret" } },
    { type: "final_response", thread_id: "t", run_id: "r", message: "secret", data: { message: "secret" } },
    { type: "error", thread_id: "t", run_id: "s", data: { code: "run_cancelled", message: "secret" } },
    { type: "final_response", thread_id: "t", run_id: "v", data: { message: "secr", status: "cancelled" } },
    { type: "error", thread_id: "t", run_id: "u", data: { code: "agent_failed" } },
    { type: "error", thread_id: "t", data: { code: "rate_limited" } },
  ]);
  assert.deepEqual(said, [
    { type: "answer", threadId: "t", runId: "r", status: "done" },
    { type: "answer", threadId: "t", runId: "s", status: "cancelled" },
    { type: "answer", threadId: "t", runId: "v", status: "cancelled" },
    { type: "answer", threadId: "t", runId: "u", status: "failed" },
  ]);
});

test("only the page directly around the frame is heard, once, with a port", async () => {
  const heard = new Set();
  const greeted = [];
  const parent = { postMessage: (...message) => greeted.push(message) };
  const window = { parent, addEventListener: (_, listener) => heard.add(listener), removeEventListener: (_, listener) => heard.delete(listener) };
  const say = (event) => [...heard].forEach((listener) => listener({ origin: "https://shop.example", source: parent, ports: [{}], ...event }));
  const around = siteAround(window);
  assert.deepEqual(greeted, [[{ type: "understudy:hello" }, "*"]]);
  const start = { type: "understudy:start", agent: "echo", token: null };
  say({ data: start, source: {} });
  say({ data: start, ports: [] });
  say({ data: { type: "other" } });
  say({ data: null });
  assert.equal(heard.size, 1);
  say({ data: start });
  assert.equal(heard.size, 0);
  const { origin, options } = await around;
  assert.deepEqual([origin, options.agent], ["https://shop.example", "echo"]);
});

test("what is stored for one site is neither another's nor the chat page's", () => {
  const storage = new FakeStorage({ "understudy.session": "the page's" });
  const [shop, blog] = ["https://shop.example", "https://blog.example"].map((origin) => siteStorage(storage, origin));
  shop.setItem("understudy.session", "the shop's");
  assert.deepEqual([shop, blog].map((one) => one.getItem("understudy.session")), ["the shop's", null]);
  assert.deepEqual([shop.length, shop.key(0), shop.key(1), blog.length], [1, "understudy.session", null, 0]);
  blog.setItem("understudy.session", "the blog's");
  shop.removeItem("understudy.session");
  assert.deepEqual([shop.length, blog.length, storage.getItem("understudy.session")], [0, 1, "the page's"]);
  assert.equal(siteStorage(null, "https://shop.example"), null);
});

test("a chat hears of storage what other tabs of its site store", () => {
  const events = new EventTarget();
  const heard = [];
  siteWindow(events, "https://shop.example").addEventListener("storage", (event) => heard.push(event));
  const stored = (key) => events.dispatchEvent(Object.assign(new Event("storage"), { key, newValue: "v" }));
  for (const key of ["understudy.session", "embed/https://blog.example/understudy.session", null, "embed/https://shop.example/understudy.session"]) stored(key);
  assert.deepEqual(heard, [{ key: "understudy.session", newValue: "v" }]);
});

test("a site that is not allowed gets the same names, a sentence, and nothing else", async (context) => {
  const said = context.mock.method(console, "error", () => {});
  const refused = await import("../../understudy/page/embed/refused.js");
  const widget = await import("../../understudy/page/widget.js");
  assert.deepEqual(Object.keys(widget).filter((name) => ["chat", "mount"].includes(name)), ["chat", "mount"]);
  for (const name of ["open", "close", "destroy", "addEventListener"]) assert.equal(refused.chat[name]?.length !== undefined, true);
  refused.chat.open();
  assert.equal(refused.chat.isOpen, false);
  assert.match(said.mock.calls.map(({ arguments: [sentence] }) => sentence).find((sentence) => sentence.startsWith("understudy")), /^understudy: .* does not allow pages of .* allowed_origins\.$/);
});
