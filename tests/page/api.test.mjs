/** The REST client against a real HTTP server. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { Api, ApiError } from "../../understudy/page/client/api.js";

/** Calls `use(api)` with a server that ends each connection in the middle of its answer, as one that is killed does. */
async function withBreakingServer(use) {
  const server = createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": 1000 });
    response.write('{"threads": [', () => response.destroy());
  });
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  try {
    await use(new Api({ token: async () => "token" }, { base: `http://127.0.0.1:${server.address().port}` }));
  } finally {
    server.close();
  }
}

test("an answer that breaks off is an error of the connection, not an empty answer", () => withBreakingServer(async (api) => {
  const reads = {
    threads: () => api.threads(), me: () => api.me(), erase: () => api.ask("DELETE", "/api/me", { confirm: "ada" }, { limitMs: 900_000 }), shares: () => api.ask("GET", "/api/threads/t/shares"),
    export: () => api.exportThread("t", "json"), file: async () => (await api.file("f")).blob(),
  };
  for (const [name, read] of Object.entries(reads)) {
    await assert.rejects(read(), (fault) => fault instanceof ApiError && fault.status === 0 && fault.code === "offline", name);
  }
}));
