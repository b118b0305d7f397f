import assert from "node:assert/strict";
import { test } from "node:test";

import { FIRST_STAGE, killStage } from "../../understudy/page/first_visit/first_visit.js";

const through = (...states) => states.reduce((stages, [live, online]) => [...stages, killStage(stages.at(-1), { live, online })], [FIRST_STAGE]);
const [IDLE, ANSWERS, GONE] = [[false, true], [true, true], [true, false]];

test("a server that is stopped in mid-answer and started again ends the demonstration", () => {
  assert.deepEqual(through(IDLE, ANSWERS, ANSWERS, GONE, GONE, ANSWERS, IDLE, IDLE), ["send", "send", "kill", "kill", "start", "start", "watch", "done", "done"]);
});

test("an answer that had ended at once on the server is done when it is back", () => {
  assert.deepEqual(through(ANSWERS, GONE, IDLE).at(-1), "done");
});

test("whoever is too late is told so, and may send it again", () => {
  assert.deepEqual(through(ANSWERS, IDLE, [false, false], ANSWERS, GONE), ["send", "kill", "missed", "missed", "kill", "start"]);
});

test("a second stop while it goes on is one more of the same", () => {
  assert.deepEqual(through(ANSWERS, GONE, ANSWERS, GONE, ANSWERS, IDLE).at(-1), "done");
});
