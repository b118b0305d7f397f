/*
 * A stock OpenID provider with one client: PKCE is required, refresh tokens are used once, one that comes again ends the
 * grant, and who signs in consents at once. `POST /control` {user, accounts} says who sits at the browser, and who exists.
 *
 * Environment: PORT, CLIENT (JSON: the client's metadata).
 */
import { createServer } from "node:http";
import Provider from "oidc-provider";

const port = Number(process.env.PORT);
const state = { user: "ann", accounts: {} };
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [JSON.parse(process.env.CLIENT)],
  cookies: { keys: ["a key of no secret"] },
  claims: { openid: ["sub", "sid"], profile: ["name", "groups", "roles", "tenant"], email: ["email"] },
  features: {
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true, logoutSource: (ctx, form) => { ctx.body = form; } },
  },
  pkce: { methods: ["S256"], required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed("refresh_token"),
  expiresWithSession: () => false,
  findAccount: (ctx, id) => {
    const claims = state.accounts[id];
    return claims && { accountId: id, claims: () => ({ sub: id, ...claims }) };
  },
  loadExistingGrant: async (ctx) => {
    const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope("openid profile email offline_access");
    await grant.save();
    return grant;
  },
  interactions: { url: (ctx, { uid }) => `/interaction/${uid}` },
});
const answer = provider.callback();

createServer(async (request, response) => {
  if (request.url.startsWith("/interaction/")) {
    const result = state.user === null ? { error: "access_denied" } : { login: { accountId: state.user } };
    await provider.interactionFinished(request, response, result);
  } else if (request.url === "/control") {
    let body = "";
    for await (const piece of request) body += piece;
    Object.assign(state, JSON.parse(body));
    response.end("{}");
  } else {
    answer(request, response);
  }
}).listen(port, "127.0.0.1");
