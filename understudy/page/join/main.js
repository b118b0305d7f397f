/** The page on which an invited user sets a password or stores a passkey. The invite stands after the `#` of its address. */

import { ROOT } from "../client/address.js";
import { MESSAGES } from "../extensions/accounts/messages/sign_in.js";
import { learn, t } from "../client/messages.js";
import { browserStorage, safeStorage } from "../client/safe_storage.js";
import { Session } from "../client/connection/session.js";
import { el } from "../elements/dom.js";
import { startLanguage } from "../settings/language.js";
import { hasPasskeys, joinWithPasskey } from "../extensions/accounts/passkeys.js";
import { askServer, passwordForm } from "../extensions/accounts/password_form.js";

const GONE = 404;
const SERVER = { fetch: (...asked) => fetch(...asked), base: ROOT };

function show(card) {
  document.body.replaceChildren(el("main.join", {}, card));
}

function showGone() {
  document.title = t("accounts.gone");
  show(el("div.join-card", {}, el("h1", {}, t("accounts.gone")), el("p", {}, t("accounts.gone_text")),
    el("div.dialog-actions", {}, el("a.primary", { href: `${ROOT}/` }, t("accounts.to_chat")))));
}

function showFault(sentence) {
  show(el("div.join-card", {}, el("p", { role: "alert" }, sentence),
    el("div.dialog-actions", {}, el("button.primary", { type: "button", onclick: begin }, t("action.try_again")))));
}

function showForm(invite, name, storage) {
  document.title = t("accounts.join");
  const enter = async (ask) => {
    try {
      new Session({ fetch: SERVER.fetch, storage }).adopt((await ask()).session_token);
    } catch (refusal) {
      if (refusal.status === GONE) return showGone();
      throw refusal;
    }
    return location.replace(`${ROOT}/`);
  };
  const form = passwordForm({
    head: [el("h1", {}, t("accounts.join")), el("p", {}, t("accounts.join_text", { name }))],
    fields: [
      { label: t("accounts.name"), type: "text", autocomplete: "username", value: name, readOnly: true },
      { label: t("accounts.password"), autocomplete: "new-password" },
      { label: t("accounts.again"), autocomplete: "new-password" },
    ],
    agree: t("accounts.join_agree"),
    other: hasPasskeys() ? {
      label: t("accounts.join_passkey"),
      act: () => enter(() => joinWithPasskey(SERVER, invite)),
    } : null,
    send: async (_name, password, again) => {
      if (password !== again) throw new Error(t("accounts.differ"));
      return enter(() => askServer(SERVER, "/auth/join", { invite, password }, { 400: t("accounts.weak") }));
    },
  });
  form.element.classList.add("join-card");
  show(form.element);
  form.focus();
}

async function begin() {
  const invite = location.hash.slice(1);
  try {
    showForm(invite, (await askServer(SERVER, "/auth/invite", { invite })).user, storage);
  } catch (refusal) {
    if (refusal.status === GONE) showGone();
    else showFault(refusal.message);
  }
}

const storage = safeStorage(browserStorage());
await startLanguage(storage);
learn(MESSAGES);
addEventListener("hashchange", begin); // another link was opened in this tab
await begin();
