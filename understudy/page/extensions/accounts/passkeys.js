/** Passkeys: makes and uses them with the browser and the server, and the dialog of a user's own. */

import { confirmed, dialogHead, showUntilClosed } from "../../elements/dialog.js";
import { el, freshId, setText } from "../../elements/dom.js";
import { askServer } from "./password_form.js";
import { MESSAGES } from "./messages/sign_in.js";
import { dateTime, learn, t } from "../../client/messages.js";
import { moment } from "../../client/format.js";

const DATE = { day: "numeric", month: "short", year: "numeric" };
const LONGEST_NAME = 64;

/** Whether this browser has passkeys for this page: they belong to a host's name, and addresses have none. */
export function hasPasskeys() {
  const able = typeof globalThis.PublicKeyCredential?.parseCreationOptionsFromJSON === "function";
  return able && isSecureContext && !isAddress(location.hostname);
}

/** Whether a host is an address of IPv4 or IPv6. */
export function isAddress(host) {
  return host.startsWith("[") || /^[\d.]+$/.test(host);
}

/** Returns the name that is proposed for a passkey of this browser. */
function proposedName() {
  return (navigator.userAgentData?.platform || t("accounts.passkey")).slice(0, LONGEST_NAME);
}

/** The JSON of a new passkey for the server's options. Rejects with a sentence ({message}). */
async function created(options) {
  return asked(() => navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) }));
}

async function asked(act) {
  try {
    return (await act()).toJSON();
  } catch (fault) {
    const why = { NotAllowedError: "passkey_left", AbortError: "passkey_left", InvalidStateError: "passkey_there" }[fault.name];
    throw new Error(t(`accounts.${why ?? "passkey_fails"}`));
  }
}

/** Signs in with a passkey; resolves to the server's answer. `server` is {fetch, base}. Rejects with a sentence. */
export async function signInWithPasskey(server) {
  const options = await askServer(server, "/auth/passkeys/sign-in/options", {});
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const credential = await asked(() => navigator.credentials.get({ publicKey }));
  return askServer(server, "/auth/passkeys/sign-in", { credential }, {
    401: t("accounts.passkey_unknown"), 403: t("accounts.passkey_refused"), 404: t("accounts.passkey_late"),
  });
}

/** Stores a first passkey by an invite; resolves to the server's answer. Rejects with {message, status}. */
export async function joinWithPasskey(server, invite) {
  const options = await askServer(server, "/auth/passkeys/join/options", { invite });
  const credential = await created(options);
  return askServer(server, "/auth/passkeys/join", { invite, name: proposedName(), credential });
}

/**
 * Asks about the user's own passkeys; by default for {password, passkeys}: whether there is a password, and the passkeys,
 * oldest first, each {id, name, created_at, used_at}. Rejects with a sentence.
 */
export async function askPasskeys(client, method = "GET", path = "", body = undefined) {
  const refusals = method === "DELETE" ? { 403: t("accounts.passkey_last") } : {};
  return askServer(client.api, `/auth/passkeys${path}`, body, refusals, { method, token: await client.session.token() });
}

/** The dialog of one's own passkeys: a list, with buttons to remove them and to add another. */
export class PasskeysDialog {
  /** `client` is a `Client`. */
  constructor(client) {
    learn(MESSAGES);
    this.client = client;
    const id = freshId("passkeys");
    this.list = el("div.settings-body");
    this.hint = el("p.hint", { role: "status" });
    this.name = el("input.field-input", { id: freshId("field"), type: "text", maxLength: LONGEST_NAME, autocomplete: "off", required: true });
    this.submit = el("button.primary", { type: "submit" }, t("accounts.passkey_add"));
    const able = hasPasskeys();
    const form = el("form", { noValidate: true, onsubmit: (event) => this.#add(event) },
      el("div.field", {}, el("label.field-label", { for: this.name.id }, t("accounts.passkey_name")), this.name),
      el("div.dialog-actions", {}, this.submit));
    this.element = el("dialog.dialog", { "aria-labelledby": id },
      dialogHead(id, t("account.passkeys")), el("p", {}, t("accounts.passkeys_text")), this.list, this.hint,
      able ? form : el("p.hint", {}, t("accounts.passkeys_not_here")));
  }

  open() {
    this.name.value = proposedName();
    showUntilClosed(this.element);
    return this.#load("");
  }

  /** Reads the list again, and says `sentence` below it. */
  async #load(sentence) {
    try {
      const { passkeys } = await askPasskeys(this.client);
      this.list.replaceChildren(...passkeys.map((each) => this.#row(each)));
      setText(this.hint, sentence || (passkeys.length === 0 ? t("accounts.passkeys_none") : ""));
    } catch (fault) {
      setText(this.hint, fault.message);
    }
  }

  #row({ id, name, created_at: made, used_at: used }) {
    const last = used === null ? t("accounts.passkey_unused") : t("accounts.passkey_used", { date: dateTime(moment(used), DATE) });
    const button = el("button.danger", { type: "button", "aria-label": t("accounts.passkey_remove", { name }) }, t("action.remove"));
    button.addEventListener("click", async () => {
      const sure = await confirmed({ title: t("accounts.passkey_remove", { name }), text: t("accounts.passkey_remove_text"), agree: t("action.remove") });
      if (!sure) return;
      const sentence = await askPasskeys(this.client, "DELETE", `/${id}`).then(() => "", (fault) => fault.message);
      await this.#load(sentence);
    });
    const about = `${t("accounts.passkey_made", { date: dateTime(moment(made), DATE) })} ${last}`;
    return el("div.settings-row", {}, el("p", {}, el("bdi", {}, name), el("br"), el("small", {}, about)), button);
  }

  async #add(event) {
    event.preventDefault();
    if (this.submit.disabled) return;
    this.submit.disabled = true;
    setText(this.hint, "");
    try {
      const credential = await created(await askPasskeys(this.client, "POST", "/options", {}));
      await askPasskeys(this.client, "POST", "", { name: this.name.value.trim() || proposedName(), credential });
      await this.#load("");
    } catch (fault) {
      setText(this.hint, fault.message);
    }
    this.submit.disabled = false;
  }
}
