/** Sign-in at an identity provider: where it begins, what the client keeps of it, and where it signs out. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { Api } from "../../understudy/page/client/api.js";
import { Client } from "../../understudy/page/client.js";
import { FakeClock, FakeStorage, settle, socketClass } from "./fakes.mjs";

async function withServer(answers, use) {
  const asked = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    asked.push([request.method, request.url, request.headers.authorization ?? null, body]);
    const [status, said] = answers[request.url];
    response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(said));
  });
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  try {
    await use(new Api({ token: async () => "token" }, { base: `http://127.0.0.1:${server.address().port}` }), asked);
  } finally {
    server.close();
  }
}

test("the server says where users sign in, without a token", () => withServer(
  { "/auth": [200, { by: "openid", provider: { title: "Example", url: "/auth/sign-in" } }] },
  async (api, asked) => {
    assert.deepEqual(await api.signsIn(), { by: "openid", provider: { title: "Example", url: "/auth/sign-in" } });
    assert.deepEqual(asked, [["GET", "/auth", null, ""]]);
  },
));

test("a server whose users need a token names no provider, and one that cannot say is an error", async () => {
  await withServer({ "/auth": [200, { by: null }] }, async (api) => assert.deepEqual(await api.signsIn(), { by: null }));
  await withServer({ "/auth": [503, {}] }, (api) => assert.rejects(api.signsIn(), ({ status }) => status === 503));
});

async function client(said) {
  const clock = new FakeClock();
  const calls = [];
  const fetch = async (path, { method, body = null }) => {
    calls.push([method, path, body]);
    const answer = path.endsWith("/auth/sign-out") ? said : {
      session_token: "token", user: "ann", session: "oidc-1", anonymous: false, expires_at: clock.now() / 1000 + 600,
    };
    return { ok: true, status: 200, json: async () => answer };
  };
  const made = new Client({
    url: "ws://x/api/ws/agent", storage: new FakeStorage(), fetch, WebSocket: socketClass(), now: clock.now, timers: clock.timers, window: null,
  });
  made.start();
  await settle();
  return { made, calls };
}

test("who has signed in is no guest, although the page asked for the session", async () => {
  const { made } = await client({ url: null });
  assert.deepEqual([made.session.stored.user, made.session.stored.anonymous], ["ann", false]);
  made.stop();
});

test("signing out ends the session here, and leads to the provider", async () => {
  for (const url of ["https://id.example.org/end?x=1", null]) {
    const { made, calls } = await client({ url });
    const over = [];
    made.on("over", (event) => over.push(event));
    await made.signOut({ everywhere: url === null });
    await settle();
    assert.deepEqual(calls.at(-1).slice(1), ["http://x/auth/sign-out", JSON.stringify({ everywhere: url === null })]);
    assert.deepEqual(over, [{ url }]);
    assert.equal(made.session.stored, null);
  }
});
