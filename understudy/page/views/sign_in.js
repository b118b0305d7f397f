/**
 * A server that gives no sessions by itself: its users sign in at an identity provider, with a password, or with a token,
 * which its operator makes with `understudy token`.
 */

import { asked, told } from "./dialog.js";
import { el, freshId } from "./dom.js";
import { askServer, passwordForm } from "./password_form.js";
import { ACCOUNTS } from "../client/messages/accounts.js";
import { learn, t } from "../client/messages.js";

let asking = false;

/**
 * Asks to sign in, until the server accepts a password or a token, the browser is on its way to the identity provider, or the user would
 * rather not. The way there leads back to the chat that is open.
 */
export async function askToSignIn(client) {
  if (asking) return;
  asking = true;
  try {
    const { sign_in: provider = null, password = false } = await client.api.signsIn().catch(() => ({}));
    if (password) await askPassword(client);
    else if (!provider) await askToken(client);
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

/** Resolves when the user has signed in with a password, or would rather not. */
function askPassword(client) {
  learn(ACCOUNTS);
  const id = freshId("dialog");
  const form = passwordForm({
    head: el("h2", { id }, t("session.sign_in")),
    fields: [
      { label: t("accounts.name"), type: "text", autocomplete: "username" },
      { label: t("accounts.password"), autocomplete: "current-password" },
    ],
    foot: el("p.hint", {}, t("accounts.no_account")),
    agree: t("session.sign_in"),
    actions: [el("button.secondary", { type: "button", onclick: () => dialog.close() }, t("action.not_now"))],
    send: async (name, password) => {
      const said = await askServer(client.api, "/auth/password", { name, password }, { 401: t("accounts.no_fit") });
      await client.signIn(said.session_token);
      dialog.close();
    },
  });
  const dialog = el("dialog.dialog", { "aria-labelledby": id }, form.element);
  document.body.append(dialog);
  dialog.showModal();
  form.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve();
    });
  });
}

function askToken(client) {
  return asked({
    title: t("session.sign_in"), text: t("session.token_wanted"), label: t("session.token"), agree: t("session.sign_in"),
    accept: (token) => client.signIn(token).catch((fault) => {
      throw fault.status === 401 ? new Error(t("session.refused")) : fault;
    }),
  });
}
