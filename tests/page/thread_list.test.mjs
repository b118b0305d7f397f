import assert from "node:assert/strict";
import { test } from "node:test";

import { extended, NO_THREADS, refreshed, wantedAtTop, without } from "../../understudy/page/sidebar/listed.js";

const chats = (from, to) => Array.from({ length: to - from }, (_, n) => ({ id: `t${from + n}`, updated_at: 1000 - from - n }));
const page = (threads, next_cursor = null) => ({ threads, next_cursor });
const ids = ({ threads }) => threads.map(({ id }) => id);

test("a list is read from its top, and on", () => {
  const first = refreshed(NO_THREADS, page(chats(0, 3), "c3"));
  const all = extended(first, page(chats(2, 5)));
  assert.deepEqual([ids(all), all.cursor], [["t0", "t1", "t2", "t3", "t4"], null]);
  assert.deepEqual(ids(without(all, "t3")), ["t0", "t1", "t2", "t4"]);
});

test("what was read below the top stays when the top is read again, with the chat that moved up", () => {
  const list = { threads: chats(0, 6), cursor: "c6" };
  const again = refreshed(list, page([{ id: "t5", updated_at: 2000 }, ...chats(0, 2)], "c2"));
  assert.deepEqual([ids(again), again.cursor], [["t5", "t0", "t1", "t2", "t3", "t4"], "c6"]);
});

test("where chats may be missing between, only the top stays", () => {
  const list = { threads: chats(0, 6), cursor: "c6" };
  const news = [{ id: "n0", updated_at: 2001 }, { id: "n1", updated_at: 2000 }];
  assert.deepEqual(refreshed(list, page(news, "cn")), { threads: news, cursor: "cn" });
});

test("a chat that is gone goes, and the end of the list is its end", () => {
  const list = { threads: chats(0, 4), cursor: "c4" };
  assert.deepEqual(refreshed(list, page(chats(1, 3))), { threads: chats(1, 3), cursor: null });
  assert.deepEqual(refreshed(list, page([], null)), NO_THREADS);
});

test("as many are read again as are shown, within what the server gives", () => {
  assert.deepEqual([0, 80, 900].map((length) => wantedAtTop({ threads: Array(length).fill({}) })), [40, 80, 200]);
});
