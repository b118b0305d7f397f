/** What extensions add to the page: theirs that are on and that the page has, once, and hidden while they are off. */

import assert from "node:assert/strict";
import { test } from "node:test";

/** A document whose head says that the page has parts of `one` and `two`. */
globalThis.document = { querySelector: (selector) => (selector === "meta[name=page-extensions]" ? { content: "one two" } : null) };
const { Extensions } = await import("../../understudy/page/extensions.js");

/** A page whose server says in turn that these are on, and the parts that it loads: one has a dialog, the other acts of a chat and a section. */
function made(...answers) {
  const seen = { asked: [], loaded: [], buttons: [], faults: [], shown: 0 };
  const page = {
    api: { ask: async (...asked) => { seen.asked.push(asked.join(" ")); return { extensions: answers.shift() ?? assert.fail("refused") }; } },
    agents: {}, client: { on: () => {} }, extended: (extensions) => seen.buttons.push(extensions.all("dialogs").map(({ id, title, icon }) => [id, title, icon].join(" "))), open: () => {}, fault: (fault) => seen.faults.push(fault),
  };
  const parts = {
    one: { extend: ({ addDialog }) => addDialog({ id: "one", picture: "clock", title: "One", load: async () => ({ show: () => { seen.shown += 1; } }) }) },
    two: { extend: ({ add }) => { add("sections", { title: "Two" }); add("chatActs", ({ id }) => ({ label: `Two of ${id}` })); } },
  };
  const extensions = new Extensions(page, async (name) => {
    seen.loaded.push(name);
    return parts[name];
  });
  return { extensions, seen };
}

test("those that are on add their parts once; of which the page has none, nothing is loaded", async () => {
  const { extensions, seen } = made(["one", "two", "elsewhere"], ["one", "two", "elsewhere"]);
  await Promise.all([extensions.refresh(), extensions.refresh()]);
  assert.deepEqual([seen.asked[0], seen.loaded], ["GET /api/extensions", ["one", "two"]]);
  assert.deepEqual([seen.buttons.at(-1), extensions.all("sections")], [["one One clock"], [{ title: "Two" }]]);
  assert.deepEqual(extensions.all("chatActs").map((offer) => offer({ id: "t" }).label), ["Two of t"]);
  await extensions.all("dialogs")[0].act();
  await extensions.show("one");
  assert.equal(seen.shown, 2);
});

test("what is off is not loaded, and is not there if it was on before", async () => {
  const { extensions, seen } = made([], ["one", "two"], ["two"], ["one"]);
  await extensions.refresh();
  assert.deepEqual([seen.loaded, seen.buttons.at(-1), extensions.all("sections")], [[], [], []]);
  await extensions.refresh();
  await extensions.refresh();
  assert.deepEqual([seen.buttons.at(-1), extensions.all("dialogs"), extensions.all("sections").length], [[], [], 1]);
  await extensions.refresh();
  assert.deepEqual([seen.buttons.at(-1), extensions.all("sections"), seen.loaded.length], [["one One clock"], [], 2]);
});

test("a part that cannot be loaded is loaded the next time; the buttons stay until then", async () => {
  const { extensions, seen } = made(["one"], ["one"]);
  const { load } = extensions;
  extensions.load = async () => { throw new TypeError("no network"); };
  await extensions.refresh();
  assert.deepEqual([seen.buttons, extensions.all("dialogs")], [[], []]);
  extensions.load = load;
  await extensions.refresh();
  assert.deepEqual(seen.buttons, [["one One clock"]]);
  await extensions.refresh(); // which is refused
  assert.equal(extensions.all("dialogs").length, 1);
});

test("a button of last time shows its dialog before anything is known, and nothing if its extension is off", async () => {
  const { extensions, seen } = made(["one"]);
  await extensions.show("one");
  assert.equal(seen.shown, 1);
  const off = made([]);
  await off.extensions.show("one");
  assert.deepEqual([off.seen.shown, off.seen.buttons], [0, [[]]]);
});
