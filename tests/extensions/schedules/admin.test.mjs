/** The section of schedules on the administration page. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { SECTIONS, timing } from "../../../understudy/page/extensions/schedules/admin.js";

test("a schedule says when it is due", () => {
  assert.equal(timing({ cron: "0 9 * * *", time_zone: "UTC" }), "0 9 * * * UTC");
  assert.match(timing({ cron: null, every_s: 300 }), /^every 5 min/);
});

test("the section reads schedules, and has a column for each of what it shows", async () => {
  const [{ read, columns, key }] = SECTIONS;
  const asked = [];
  const schedules = [{ id: "s", user: "ada", tenant: "acme", agent: null, cron: null, every_s: 60, enabled: false, next_due_at: null, last_code: "busy", last_due_at: 1 }];
  const [row] = await read({ ask: async (...what) => { asked.push(what.join(" ")); return { schedules }; } });
  assert.deepEqual([key(row), asked], ["s", ["GET admin/schedules"]]);
  assert.deepEqual(columns.map((column) => column.text(row)).toSpliced(3, 1), ["s", "ada (acme)", "(default)", "paused", "busy"]);
  assert.equal(columns.at(-1).alarm(row), true);
});
