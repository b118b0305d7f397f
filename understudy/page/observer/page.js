/**
 * The frame of a page for operators. Who is signed in in the chat comes in by that session, if its user has a role that opens the
 * page, as the local operator's has; else the page offers the same sign-in. Where users do not sign in, it asks for a token, and keeps
 * it with the tab, for all of these pages.
 */

import { ROOT, isWeb } from "../client/address.js";
import { Api } from "../client/api.js";
import { browserStorage, safeStorage } from "../client/safe_storage.js";
import { Session, forgetAtSessionEnd, AUDITORS, hasOne, OPERATORS } from "../client/connection/session.js";
import { OVER } from "./api.js";
import { el, freshId, setText } from "../elements/dom.js";

export class OperatorPage {
  /**
   * `make(token, onRefused, who)` is what the page shows: {element, start(), stop()}; `token` is one, or a function that gives one;
   * it calls `onRefused(sentence)` when the token is not accepted, with null to sign out. `who` is its user, of `GET /api/me`. `words`
   * are those of the question for a token; with `auditors` the page opens for them too.
   */
  constructor(make, words) {
    this.make = make;
    this.roles = words?.auditors ? [...OPERATORS, ...AUDITORS] : OPERATORS;
    this.tab = safeStorage(browserStorage("sessionStorage"));
    const storage = safeStorage(browserStorage());
    const fetch = globalThis.fetch.bind(globalThis);
    this.session = new Session({ fetch, storage, base: ROOT });
    this.api = new Api(this.session, { fetch, base: ROOT });
    this.bySession = false;
    forgetAtSessionEnd({ session: this.session, storage, window, parts: () => [], onEnd: () => this.bySession && this.ask("The session has ended.") });
    this.signIn = new SignIn((token) => this.open(token), () => this.signInAsInChat(), words);
    this.shown = null;
  }

  async start() {
    const token = this.tab.getItem(TOKEN);
    if (token) {
      await this.open(token);
      return;
    }
    const { by = null } = await this.api.signsIn().catch(() => ({}));
    if (by) this.signIn.offer();
    await this.enter();
  }

  /** Opens the page by the session of this browser; asks if there is none, or its user has no role that opens it. */
  async enter() {
    try {
      await this.session.token();
      this.#admit(await this.api.me(), () => this.session.token(), { bySession: true });
    } catch (fault) {
      this.ask(fault.status === OVER ? null : fault.message);
    }
  }

  async signInAsInChat() {
    const { askToSignIn } = await import("../account/sign_in.js");
    let signedIn = false;
    const signIn = async (token) => {
      await this.api.me(token);
      this.session.adopt(token);
      signedIn = true;
    };
    await askToSignIn({ api: this.api, signIn });
    if (signedIn) await this.enter();
  }

  ask(sentence) {
    this.shown?.stop();
    this.shown = null;
    this.bySession = false;
    this.tab.removeItem(TOKEN);
    this.signIn.refuse(sentence);
    document.body.replaceChildren(this.signIn.element);
    this.signIn.focus();
  }

  /** Opens the page by a token, and keeps it for the tab, also while the server cannot say whose it is. */
  async open(token) {
    try {
      const me = await this.api.me(token);
      this.tab.setItem(TOKEN, token);
      this.#admit(me, token);
    } catch (fault) {
      this.ask(fault.message);
      if (fault.status !== OVER) this.tab.setItem(TOKEN, token);
    }
  }

  #admit(who, token, how) {
    if (hasOne(who.roles, this.roles)) this.#show(token, who, how);
    else this.ask(who.anonymous ? null : `${who.name} is signed in. This page needs the role ${this.roles === OPERATORS ? "operator" : "operator or auditor"}.`);
  }

  #show(token, who, { bySession = false } = {}) {
    this.shown?.stop();
    this.bySession = bySession;
    const refused = (sentence) => (bySession && sentence === null ? this.#signOut() : this.ask(sentence));
    const made = this.make(token, (sentence) => made === this.shown && refused(sentence), who);
    this.shown = made;
    document.body.replaceChildren(made.element);
    made.start();
  }

  /** Ends the session, in the chat too; at the identity provider as well, if it has an address for that. */
  async #signOut() {
    let leadsTo = null;
    try {
      leadsTo = await this.api.endSession();
    } catch (fault) {
      if (fault.status !== OVER) { // else it has ended already
        this.ask(`You are still signed in: ${fault.message}`);
        return;
      }
    }
    this.ask(null);
    this.session.end();
    if (isWeb(leadsTo)) location.replace(leadsTo);
  }
}

// Asks for an operator's token, and says how to get one. It is kept for this tab only.

export const TOKEN = "understudy.observer"; // its name in sessionStorage

export class SignIn {
  /**
   * `onToken(token)` tries it; `onSignIn()` asks as the chat page does, if `offer()` was called. `title` is that of the page,
   * `send` the word on the button. `auditors`: whether it is theirs too.
   */
  constructor(onToken, onSignIn, { title = "Observer", send: word = "Show the tree", auditors = false } = {}) {
    const id = freshId("token");
    const whose = `This page is for operators${auditors ? " and auditors" : ""}.`;
    this.input = el("input.dialog-input", { id, type: "password", autocomplete: "off", spellcheck: false, required: true });
    this.fault = el("p.fault", { role: "alert", hidden: true });
    const send = (event) => {
      event.preventDefault();
      if (this.input.value.trim()) onToken(this.input.value.trim());
    };
    this.button = el("button.primary", { type: "button", onclick: onSignIn }, "Sign in");
    this.offered = el("div", { hidden: true },
      el("p", {}, `${whose} Sign in as one, as in the chat.`),
      el("div.dialog-actions", {}, el("a.secondary", { href: `${ROOT}/` }, "To the chat"), this.button));
    this.form = el("form", { onsubmit: send },
      el("p", {}, `${whose} It needs a token with the role `, el("code", {}, "operator"), auditors && " or ", auditors && el("code", {}, "auditor"), ". On the server's machine, this makes one:"),
      el("pre.command", {}, "understudy token --user me --role operator"),
      el("p.hint", {}, "Name the server's data folder with --data-dir if it is another one. With an identity provider, have it put the role into your token."),
      el("label.field", { for: id }, auditors ? "Token" : "Operator's token"), this.input,
      el("div.dialog-actions", {}, el("a.secondary", { href: `${ROOT}/` }, "To the chat"), el("button.primary", { type: "submit" }, word)));
    this.element = el("main.sign-in", {}, el("div.card", {}, el("h1", {}, title), this.fault, this.offered, this.form));
  }

  /** Offers to sign in as in the chat; the box for a token is behind a line. */
  offer() {
    if (!this.offered.hidden) return;
    this.offered.hidden = false;
    const details = el("details", {}, el("summary", {}, "With a token"));
    this.form.replaceWith(details);
    details.append(this.form);
  }

  focus() {
    (this.offered.hidden ? this.input : this.button).focus();
  }

  /** Says why the last token was not enough. */
  refuse(sentence) {
    this.fault.hidden = !sentence;
    setText(this.fault, sentence ?? "");
    this.input.value = "";
  }
}
