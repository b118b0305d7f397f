/** The page is built when its frame has been drawn: never before, and not much later. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { painted } from "../../understudy/page/frame/updates.js";

/** A browser that draws when `draw()` is called. `seen` says whether the page is visible, `drawn` whether it has been drawn. */
function browser({ seen = true, drawn = false } = {}) {
  const frames = [];
  globalThis.document = { visibilityState: seen ? "visible" : "hidden" };
  globalThis.requestAnimationFrame = (callback) => frames.push(callback);
  mock.method(performance, "getEntriesByName", () => (drawn ? [{ startTime: 1 }] : []));
  return () => frames.splice(0).forEach((callback) => callback());
}

async function isOver(promise) {
  let over = false;
  promise.then(() => { over = true; });
  await Promise.resolve().then(() => {});
  return over;
}

test("it waits for the frame, and for the task in which that is drawn", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const draw = browser();
  const waiting = painted();
  assert.equal(await isOver(waiting), false, "nothing has been drawn");
  draw();
  assert.equal(await isOver(waiting), false, "callbacks of a frame come before it is drawn");
  mock.timers.tick(1);
  assert.equal(await isOver(waiting), true);
  mock.reset();
});

test("a page that was drawn already, or is hidden, does not wait", async () => {
  for (const state of [{ drawn: true }, { seen: false }]) {
    browser(state);
    assert.equal(await isOver(painted()), true, JSON.stringify(state));
    mock.reset();
  }
});

test("a page that is never drawn is built all the same", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  browser();
  const waiting = painted();
  mock.timers.tick(999);
  assert.equal(await isOver(waiting), false);
  mock.timers.tick(1);
  assert.equal(await isOver(waiting), true);
  mock.reset();
});
