import assert from "node:assert/strict";
import { test } from "node:test";

import { TurnWindow } from "../../understudy/page/thread/turn_window.js";

const keys = Array.from({ length: 5_000 }, (_, n) => `k${n}`);

function measured(height = 100) {
  const window = new TurnWindow();
  for (const key of keys.slice(0, 50)) window.measured(key, height);
  return window;
}

test("few of many turns are near, wherever the reader is; gaps stand for all others", () => {
  const window = measured();
  for (const top of [0, 1_000, 250_000, 499_000]) {
    const places = window.near(keys, top, 1_000);
    assert.ok(places.length <= 41, `${places.length} at ${top}`);
    assert.ok(places[0] * 100 <= Math.max(top - 1_000, 0) && (places.at(-1) + 1) * 100 >= Math.min(top + 2_000, 500_000));
    const gaps = window.gaps(keys, places);
    assert.equal(gaps.length, places.length + 1);
    assert.equal(gaps.reduce((sum, gap) => sum + gap, 0) + places.length * 100, window.total(keys));
  }
});

test("small movements change nothing; what is kept stays anywhere, between gaps", () => {
  const window = measured();
  const there = new Set(window.near(keys, 250_000, 1_000).map((place) => keys[place]));
  const after = window.near(keys, 251_000, 1_000, there);
  assert.ok([...there].every((key) => after.includes(keys.indexOf(key))));
  const far = window.near(keys, 0, 1_000, there, new Set(["k4999"]));
  assert.deepEqual([far.at(-1), far.includes(2_500)], [4_999, false]);
  assert.ok(window.gaps(keys, far).at(-2) > 400_000);
});

test("a turn that is not known has the height of the others; one that is measured anew counts once", () => {
  const window = new TurnWindow();
  assert.ok(window.height("k1") > 0);
  window.measured("k0", 100);
  window.measured("k0", 300);
  window.measured("k1", 100);
  assert.deepEqual([window.height("k9"), window.total(["k0", "k1", "k9"])], [200, 600]);
  assert.deepEqual([window.at(["k0", "k1"], 350), window.at(["k0", "k1"], 9_999).place], [{ place: 1, offset: 50 }, 1]);
  window.clear();
  assert.equal(window.heights.size, 0);
});
