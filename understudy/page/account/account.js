/** The account button at the foot of the side bar. Its menu has sign-in settings, help on keys, and signing out. */

import { showUntilClosed } from "../elements/dialog.js";
import { el, freshId, setText } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { Menu } from "../elements/menu.js";
import { ROOT } from "../client/address.js";
import { initials } from "../client/format.js";
import { t } from "../client/messages.js";
import { hasOne, OPERATORS } from "../client/connection/session.js";

export class Account {
  /**
   * `api` is an `Api`. `onSignOut({anyway, everywhere})` ends the session, or rejects with {message}; `onKeys()` lists the keys;
   * `more(who)` is what extensions add to the menu, {label, icon, act} each.
   */
  constructor(api, { onSignOut, onKeys, more }) {
    Object.assign(this, { api, onSignOut, who: null });
    this.mark = el("span.account-mark", { "aria-hidden": "true" });
    this.name = el("span.account-name", { dir: "auto" });
    this.button = el("button.quiet.account", { type: "button" }, this.mark, this.name, icon("more"));
    this.element = el("div.account-foot", { hidden: true }, this.button);
    this.menu = new Menu(this.button, t("account.label", { name: "" }), () => [
      el("p.menu-head", { dir: "auto" }, this.#title(), el("small", {}, this.#detail())),
      ...(hasOne(this.who.roles ?? [], OPERATORS) ? [{ label: t("account.admin"), icon: "gear", act: () => location.assign(`${ROOT}/admin`) }] : []),
      ...more(this.who),
      { label: t("keys.title"), icon: "keyboard", act: onKeys },
      { label: t("account.sign_out"), icon: "leave", act: () => this.leave() },
    ]);
  }

  /** Reads whose session this is, and shows it; who was shown stays while the server cannot be asked. */
  async refresh() {
    try {
      this.who = await this.api.me();
    } catch {
      if (this.who === null) return;
    }
    setText(this.mark, this.who.anonymous ? "" : initials(this.who.name));
    if (this.who.anonymous) this.mark.replaceChildren(icon("person"));
    setText(this.name, this.#title());
    this.button.setAttribute("aria-label", t("account.label", { name: this.#title() }));
    this.element.hidden = false;
  }

  #title() {
    return this.who.anonymous ? t("account.guest") : this.who.name;
  }

  #detail() {
    const { anonymous, user, name, tenant } = this.who;
    if (anonymous) return t("account.guest_only_here");
    return [name === user ? "" : user, tenant ?? ""].filter(Boolean).join(" · ");
  }

  /** Asks, and signs out. If the server cannot be reached, this browser can be cleared nevertheless. */
  leave() {
    if (this.who === null) return;
    const id = freshId("dialog");
    const text = el("p", {}, t(this.who.anonymous ? "account.leave_guest" : "account.leave_user"));
    const everywhere = el("input", { id: freshId("everywhere"), type: "checkbox" });
    const wider = !this.who.anonymous && el("div.field-flag", {}, everywhere, el("label", { for: everywhere.id }, t("account.leave_everywhere")));
    const fault = el("p.field-error", { role: "alert", hidden: true });
    const agree = el("button.danger", { type: "button" }, t("account.sign_out"));
    const dialog = el("dialog.dialog", { "aria-labelledby": id }, el("h2", { id }, t("account.leave_question")), text, wider, fault,
      el("div.dialog-actions", {},
        el("button.secondary", { type: "button", autofocus: true, onclick: () => dialog.close() }, t("account.stay")), agree));
    let anyway = false;
    agree.addEventListener("click", async () => {
      agree.disabled = true;
      try {
        await this.onSignOut({ anyway, everywhere: everywhere.checked });
        dialog.close();
      } catch (refusal) {
        setText(fault, refusal.status === 0 ? t("account.leave_offline") : refusal.message);
        fault.hidden = false;
        setText(agree, t("account.leave_anyway"));
        agree.disabled = false;
        agree.focus();
        anyway = true;
      }
    });
    showUntilClosed(dialog).then(() => document.activeElement === document.body && this.button.focus());
  }
}
