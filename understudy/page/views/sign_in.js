/**
 * A server that gives no sessions by itself: its users sign in at an identity provider, or with a token, which its
 * operator makes with `understudy token`.
 */

import { asked, told } from "./dialog.js";
import { t } from "../client/messages.js";

let asking = false;

/**
 * Asks to sign in, until the server accepts a token, the browser is on its way to the identity provider, or the user would
 * rather not. The way there leads back to the chat that is open.
 */
export async function askToSignIn(client) {
  if (asking) return;
  asking = true;
  try {
    const provider = await client.api.provider().catch(() => null);
    if (!provider) await askToken(client);
    else if (await wantsToSignIn(provider.title)) location.assign(wayTo(provider.url, location.pathname + location.search + location.hash));
  } finally {
    asking = false;
  }
}

function wantsToSignIn(name) {
  return told({ title: t("session.sign_in"), text: t("session.provider_wanted", { name }), agree: t("session.sign_in_with", { name }) });
}

/** The address at which a sign-in begins that leads back to a page of this origin. */
export function wayTo(url, leadsTo) {
  return `${url}?next=${encodeURIComponent(leadsTo)}`;
}

function askToken(client) {
  return asked({
    title: t("session.sign_in"), text: t("session.token_wanted"), label: t("session.token"), agree: t("session.sign_in"),
    accept: (token) => client.signIn(token).catch((fault) => {
      throw fault.status === 401 ? new Error(t("session.refused")) : fault;
    }),
  });
}
