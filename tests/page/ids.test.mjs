import assert from "node:assert/strict";
import { test } from "node:test";

import { isAutomatic } from "../../understudy/page/client/ids.js";

test("what nobody sent is known by its id", () => {
  assert.deepEqual(["auto-a-1", "automobiles", "news", null, undefined].map(isAutomatic), [true, false, false, false, false]);
});
