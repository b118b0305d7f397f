/** Sign-in with a password or a passkey, and the dialogs in which their users change them. */

import { learn, t } from "../../client/messages.js";
import { told } from "../../elements/dialog.js";
import { el } from "../../elements/dom.js";
import { MESSAGES } from "./messages/sign_in.js";
import { PasskeysDialog, askPasskeys, hasPasskeys, signInWithPasskey } from "./passkeys.js";
import { askServer, passwordDialog } from "./password_form.js";

/** Resolves when the user has signed in with a password or a passkey, or would rather not. */
export function askToSignIn(client) {
  learn(MESSAGES);
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
  learn(MESSAGES);
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
