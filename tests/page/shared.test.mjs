/** The reader of shared conversations, and the branch that a share is of. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { lastRun } from "../../understudy/page/client/threads/branches.js";
import { SharedReader, tokenIn } from "../../understudy/page/share/reader.js";

/** A `fetch` that gives these answers, {status, body}, in order; `asked` has what it was asked. */
function answers(...given) {
  const asked = [];
  const fetch = async (address, options) => {
    asked.push([address, options]);
    const { status = 200, body = {} } = given.shift();
    return { status, ok: status < 300, json: async () => body };
  };
  return { fetch, asked };
}

test("a link's token is in its path, and nothing else is", () => {
  assert.equal(tokenIn("/share/ab-_c%2F"), "ab-_c/");
  for (const path of ["/", "/share/", "/share/a/b", "/other/a", "/share/%E0%A4%A"]) assert.equal(tokenIn(path), "");
});

test("pages are read from the end, without what would say who reads", async () => {
  const { fetch, asked } = answers({ body: { older: 20, messages: [] } }, { body: { older: null, messages: [{ role: "assistant", files: [{ id: "f" }] }] } }, {});
  const reader = new SharedReader("a/b", fetch);
  await reader.next();
  assert.equal(reader.more, true);
  await reader.next();
  assert.equal(reader.more, false);
  await reader.preview("f");
  assert.deepEqual(asked.map(([address]) => address), [
    "/api/shared/a%2Fb?skip=0", "/api/shared/a%2Fb?skip=20", "/api/shared/a%2Fb/files/f/preview?skip=20",
  ]);
  for (const [, { credentials, referrerPolicy, headers }] of asked) {
    assert.deepEqual([credentials, referrerPolicy, headers], ["omit", "no-referrer", undefined]);
  }
});

test("a link that is gone is no fault, and a server that cannot answer can be asked again", async () => {
  const { fetch, asked } = answers({ status: 503 }, { body: { older: 20, messages: [] } }, { status: 404 });
  const reader = new SharedReader("t", fetch);
  await assert.rejects(reader.next());
  assert.equal((await reader.next()).older, 20);
  assert.equal(await reader.next(), null);
  assert.equal(reader.more, false);
  assert.deepEqual(asked.map(([address]) => address.split("=")[1]), ["0", "0", "20"]);
});

test("the branch that is shown ends with its last turn that has a run", () => {
  const turn = (key, parentId, runId) => ({ key, messageId: key, parentId, runId, earlier: [] });
  const turns = [turn("a", null, "r1"), turn("b", "answer-r1", "r2"), turn("c", "answer-r1", "r3")];
  assert.equal(lastRun({ turns, leaf: null }), "r3");
  assert.equal(lastRun({ turns, leaf: "b" }), "r2");
  assert.equal(lastRun({ turns: [...turns, turn("d", undefined, null)], leaf: null }), "r3");
  assert.equal(lastRun({ turns: [], leaf: null }), null);
  assert.equal(lastRun(undefined), null);
});
