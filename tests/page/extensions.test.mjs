/** What extensions add to the page: theirs that are on and that the page has, once, and hidden while they are off. */

import assert from "node:assert/strict";
import { test } from "node:test";

/** Enough of a document for the buttons of the side bar; its head says that the page has parts of `one` and `two`. */
globalThis.Node = class {};
globalThis.document = {
  querySelector: (selector) => (selector === "meta[name=page-extensions]" ? { content: "one two" } : null), getElementById: () => null,
  createTextNode: (text) => ({ text }), createElementNS: () => ({ setAttribute: () => {}, append: () => {} }),
  createElement: () => ({ firstChild: null, hidden: false, listeners: {}, setAttribute: () => {}, append: () => {}, addEventListener(name, act) { this.listeners[name] = act; } }),
};
const { Extensions } = await import("../../understudy/page/extensions.js");

/** A page whose server says in turn that these are on, and the parts that it loads: one has a dialog, the other a section. */
function made(...answers) {
  const seen = { asked: [], loaded: [], buttons: [], faults: [], shown: 0 };
  const page = {
    api: { ask: async (...asked) => { seen.asked.push(asked.join(" ")); return { extensions: answers.shift() ?? assert.fail("refused") }; } },
    agents: {}, client: { on: () => {} }, sidebar: { add: (button) => seen.buttons.push(button) }, open: () => {}, fault: (fault) => seen.faults.push(fault),
  };
  const parts = {
    one: { extend: ({ addDialog }) => addDialog({ id: "one", picture: "clock", title: "One", load: async () => ({ show: () => { seen.shown += 1; } }) }) },
    two: { extend: ({ addSection }) => addSection({ title: "Two" }) },
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
  assert.deepEqual([extensions.commands.map(({ id, title, icon }) => [id, title, icon]), extensions.sections], [[["one", "One", "clock"]], [{ title: "Two" }]]);
  await extensions.commands[0].act();
  await seen.buttons[0].listeners.click();
  assert.deepEqual([seen.shown, seen.buttons.length], [2, 1]);
});

test("what is off is not loaded, and is hidden if it was on before", async () => {
  const { extensions, seen } = made([], ["one", "two"], ["two"], ["one"]);
  await extensions.refresh();
  assert.deepEqual([seen.loaded, extensions.commands], [[], []]);
  await extensions.refresh();
  await extensions.refresh();
  assert.deepEqual([seen.buttons[0].hidden, extensions.commands, extensions.sections.length], [true, [], 1]);
  await extensions.refresh();
  assert.deepEqual([seen.buttons[0].hidden, extensions.commands.length, extensions.sections, seen.loaded.length], [false, 1, [], 2]);
});

test("a part that cannot be loaded is loaded the next time", async () => {
  const { extensions, seen } = made(["one"], ["one"]);
  const { load } = extensions;
  extensions.load = async () => { throw new TypeError("no network"); };
  await extensions.refresh();
  assert.deepEqual(extensions.commands, []);
  extensions.load = load;
  await extensions.refresh();
  assert.deepEqual([extensions.commands.length, seen.buttons.length], [1, 1]);
  await extensions.refresh(); // which is refused
  assert.equal(extensions.commands.length, 1);
});
