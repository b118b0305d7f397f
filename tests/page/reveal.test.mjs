/** A chat is opened at a message of its past, however many pages that is away, and whoever reads them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { openAt, readOnAt } from "../../understudy/page/thread/reveal.js";
import { renderer } from "../../understudy/page/answer/renderer.js";

renderer.loaded = {}; // what renders answers is there

globalThis.requestAnimationFrame = (callback) => setImmediate(callback);

/** A page whose chat has `pages` older pages; the message is on the last of them. While `busy`, another reading is under way. */
function pageOf({ pages, busy = 0 }) {
  const listeners = new Set();
  const shown = [];
  let left = pages;
  const state = () => ({ turns: [{}], cut: left > 0 });
  const read = () => {
    left -= 1;
    for (const listener of [...listeners]) listener({ threadId: "t", state: state() });
  };
  const client = {
    state,
    on: (name, listener) => (listeners.add(listener), () => listeners.delete(listener)),
    older: async () => {
      if (left === 0) return false;
      if (busy > 0) {
        busy -= 1;
        setImmediate(read); // the other reading ends
        return false;
      }
      read();
      return true;
    },
  };
  const found = () => left === 0;
  return {
    shown, client, current: "t", open: () => {},
    transcript: { readsAbove: false, reveal: async () => found() && shown.push("message") > 0, returnTo: () => found() && shown.push("place") > 0 },
    toasts: { show: (text) => shown.push(text) },
  };
}

test("another reading of the past that is under way is waited for", async () => {
  const page = pageOf({ pages: 3, busy: 1 });
  await openAt(page, "t", "m");
  assert.deepEqual(page.shown, ["message"]);
  const again = pageOf({ pages: 3, busy: 1 });
  await readOnAt(again, {});
  assert.deepEqual(again.shown, ["place"]);
});

test("a message that is nowhere in the chat is said to be elsewhere", async () => {
  const page = pageOf({ pages: 2 });
  page.transcript.reveal = async () => false;
  await openAt(page, "t", "m");
  assert.equal(page.shown.length, 1);
  assert.match(page.shown[0], /\w/);
});

test("a page that cannot be read is told to who opens the chat, and ends the way back to a place", async () => {
  const page = pageOf({ pages: 2 });
  page.client.older = () => Promise.reject(new Error("The server is away."));
  await openAt(page, "t", "m");
  assert.deepEqual(page.shown, ["The server is away."]);
  await readOnAt(page, {});
  assert.deepEqual(page.shown, ["The server is away."]);
});
