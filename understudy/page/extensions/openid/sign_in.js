/** Signs users in at the identity provider of the server. */

import { ROOT } from "../../client/address.js";
import { learn, t } from "../../client/messages.js";
import { told } from "../../elements/dialog.js";
import { MESSAGES } from "./messages/sign_in.js";

/** Asks, and leaves for the provider, {title, url}; the way there leads back to the chat that is open. */
export async function askToSignIn(client, { title: name, url }) {
  learn(MESSAGES);
  const agreed = await told({ title: t("session.sign_in"), text: t("session.provider_wanted", { name }), agree: t("session.sign_in_with", { name }) });
  if (agreed) location.assign(wayTo(ROOT + url, location.pathname + location.search + location.hash));
}

/** The address at which a sign-in begins that leads back to a page of this origin. */
export function wayTo(url, leadsTo) {
  return `${url}?next=${encodeURIComponent(leadsTo)}`;
}
