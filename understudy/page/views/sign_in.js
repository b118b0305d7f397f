/**
 * A server that gives no sessions by itself: its users sign in at an identity provider, with a password, or with a token,
 * which its operator makes with `understudy token`.
 */

import { ROOT } from "../client/address.js";
import { asked, told } from "./dialog.js";
import { el } from "./dom.js";
import { PasskeysDialog, askPasskeys, hasPasskeys, signInWithPasskey } from "./passkeys.js";
import { askServer, passwordDialog } from "./password_form.js";
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
    else if (await wantsToSignIn(provider.title)) location.assign(wayTo(ROOT + provider.url, location.pathname + location.search + location.hash));
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

/** Resolves when the user has signed in with a password or a passkey, or would rather not. */
function askPassword(client) {
  learn(ACCOUNTS);
  return passwordDialog({
    title: t("session.sign_in"),
    fields: [
      { label: t("accounts.name"), type: "text", autocomplete: "username" },
      { label: t("accounts.password"), autocomplete: "current-password" },
    ],
    foot: el("p.hint", {}, t("accounts.no_account")),
    agree: t("session.sign_in"),
    other: client.api.base === "" && hasPasskeys() ? {
      label: t("accounts.with_passkey"),
      act: async (close) => {
        await client.signIn((await signInWithPasskey(client.api)).session_token);
        close();
      },
    } : null,
    send: async (close, name, password) => {
      const said = await askServer(client.api, "/auth/password", { name, password }, { 401: t("accounts.no_fit") });
      await client.signIn(said.session_token);
      close();
    },
  });
}

/** Asks a user who signed in with a password for another one. Resolves when it is set, or the user would rather not. */
export async function askNewPassword(client) {
  learn(ACCOUNTS);
  const { password = true } = await askPasskeys(client).catch(() => ({}));
  if (!password) return told({ title: t("account.change_password"), text: t("accounts.passkeys_only"), agree: t("action.close") });
  const refusals = { 400: t("accounts.weak"), 403: t("accounts.wrong") };
  return passwordDialog({
    title: t("account.change_password"),
    text: t("accounts.change_text"),
    fields: [
      { label: t("accounts.present"), autocomplete: "current-password" },
      { label: t("accounts.new"), autocomplete: "new-password" },
      { label: t("accounts.new_again"), autocomplete: "new-password" },
    ],
    agree: t("account.change_password"),
    send: async (close, present, chosen, again) => {
      if (chosen !== again) throw new Error(t("accounts.differ"));
      const body = { password: present, new_password: chosen };
      await client.session.replace((token) => askServer(client.api, "/auth/password", body, refusals, { method: "PUT", token }));
      close();
    },
  });
}

/** Shows the user's passkeys. */
export function showPasskeys(client) {
  return new PasskeysDialog(client).open();
}

function askToken(client) {
  return asked({
    title: t("session.sign_in"), text: t("session.token_wanted"), label: t("session.token"), agree: t("session.sign_in"),
    accept: (token) => client.signIn(token).catch((fault) => {
      throw fault.status === 401 ? new Error(t("session.refused")) : fault;
    }),
  });
}
