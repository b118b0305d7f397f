import assert from "node:assert/strict";
import { test } from "node:test";

import { learn } from "../../../understudy/page/client/messages.js";
import { MESSAGES } from "../../../understudy/page/extensions/schedules/messages/dialog.js";
import { comingUp, timingOf, timingText } from "../../../understudy/page/extensions/schedules/timing.js";

learn(MESSAGES);
const said = (timing) => timingText({ cron: null, every_s: null, time_zone: "Europe/Berlin", ...timing });

test("what the form makes is shown in the same words", () => {
  assert.equal(said(timingOf("daily", "09:05", "")), "Every day at 09:05 (Europe/Berlin)");
  assert.equal(said(timingOf("weekdays", "18:30", "")), "Monday to Friday at 18:30 (Europe/Berlin)");
  assert.equal(said(timingOf("weekly", "00:00", "")), "Mondays at 00:00 (Europe/Berlin)");
  assert.equal(said(timingOf("hourly", "", "")), "Every hour");
  assert.equal(said(timingOf("cron", "", " */5 * 1 * * ")), "*/5 * 1 * * (Europe/Berlin)");
});

test("intervals are shown in the largest whole unit", () => {
  assert.deepEqual([60, 90, 7_200, 86_400].map((each) => said({ every_s: each })), ["Every minute", "Every 90 seconds", "Every 2 hours", "Every day"]);
});

test("next times are in order, without those that are paused or over", () => {
  const all = [{ enabled: true, next_due_at: 9 }, { enabled: false, next_due_at: 1 }, { enabled: true, next_due_at: null }, { enabled: true, next_due_at: 3 }];
  assert.deepEqual(comingUp(all).map(({ next_due_at: at }) => at), [3, 9]);
});
