/** A server that gives no sessions by itself wants a token; its operator makes one with `understudy token`. */

import { asked } from "./dialog.js";
import { t } from "../client/messages.js";

let asking = false;

/** Asks for a session token until the server accepts one, or the user would rather not. */
export async function askToken(client) {
  if (asking) return;
  asking = true;
  await asked({
    title: t("session.sign_in"), text: t("session.token_wanted"), label: t("session.token"), agree: t("session.sign_in"),
    accept: (token) => client.signIn(token).catch((fault) => {
      throw fault.status === 401 ? new Error(t("session.refused")) : fault;
    }),
  });
  asking = false;
}
