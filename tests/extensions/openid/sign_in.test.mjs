/** Sign-in at an identity provider: where it leads back to. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { wayTo } from "../../../understudy/page/extensions/openid/sign_in.js";

test("a sign-in leads back to the chat that is open", () => {
  assert.equal(wayTo("/auth/sign-in", "/?x=1#a&b"), "/auth/sign-in?next=%2F%3Fx%3D1%23a%26b");
});
