/**
 * A server that gives no sessions by itself: its users sign in at an identity provider, with a password, or with a token,
 * which its operator makes with `understudy token`. Extensions have the views of the first two; the server says which it has.
 */

import { asked } from "./dialog.js";
import { t } from "../client/messages.js";

let asking = false;

/**
 * Asks to sign in, until the server accepts a password or a token, the browser is on its way to the identity provider, or the user would
 * rather not.
 */
export async function askToSignIn(client) {
  if (asking) return;
  asking = true;
  try {
    const { sign_in: provider = null, password = false } = await client.api.signsIn().catch(() => ({}));
    if (password) await (await import("../extensions/accounts/sign_in.js")).askPassword(client);
    else if (provider) await (await import("../extensions/openid/sign_in.js")).askProvider(provider);
    else await askToken(client);
  } finally {
    asking = false;
  }
}

function askToken(client) {
  return asked({
    title: t("session.sign_in"), text: t("session.token_wanted"), label: t("session.token"), agree: t("session.sign_in"),
    accept: (token) => client.signIn(token).catch((fault) => {
      throw fault.status === 401 ? new Error(t("session.refused")) : fault;
    }),
  });
}
