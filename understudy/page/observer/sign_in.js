/** Asks for an operator's token, and says how to get one. It is kept for this tab only. */

import { ROOT } from "../client/address.js";
import { el, freshId, setText } from "../elements/dom.js";

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
