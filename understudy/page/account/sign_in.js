/**
 * A server that gives no sessions by itself: its users sign in by an extension, which the server names and whose `sign_in.js` asks
 * them, or with a token, which its operator makes with `understudy token`.
 */

import { asked } from "../elements/dialog.js";
import { t } from "../client/messages.js";

let asking = false;

/**
 * Asks to sign in, until the user is signed in, is on the way to where that is done, or would rather not. An extension's
 * `askToSignIn(client, provider)` does the same.
 */
export async function askToSignIn(client) {
  if (asking) return;
  asking = true;
  try {
    const { by: name = null, provider = null } = await client.api.signsIn().catch(() => ({}));
    if (name) await (await import(`../extensions/${name}/sign_in.js`)).askToSignIn(client, provider);
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
