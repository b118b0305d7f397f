/** The dialog of a chat's public links: makes one, lists them, and revokes each. */

import { ROOT } from "../../client/address.js";
import { copy, copyButton } from "../../elements/copy.js";
import { dialogHead, showUntilClosed } from "../../elements/dialog.js";
import { el, freshId, setText } from "../../elements/dom.js";
import { moment } from "../../client/format.js";
import { dateTime, learn, t } from "../../client/messages.js";
import { MESSAGES } from "./messages/dialog.js";

const DAY = Object.freeze({ dateStyle: "medium" });

export class SharesDialog {
  /** `ask` is that of `extensions.js`; `thread` {id, title}; `tip` the run at the end of the branch that is shown, null: the newest. */
  constructor(ask, thread, tip) {
    learn(MESSAGES);
    Object.assign(this, { ask, path: `/api/threads/${encodeURIComponent(thread.id)}/shares`, tip, doing: Promise.resolve(), making: false });
    const id = freshId("shares");
    this.address = el("input.dialog-input", { readOnly: true, dir: "ltr", "aria-label": t("share.address"), onfocus: () => this.address.select() });
    this.made = el("div.share-made", { hidden: true }, this.address, copyButton(() => this.address.value, t("share.copy"), { wordy: true }));
    this.heading = el("h3", { hidden: true }, t("share.links"));
    this.list = el("ul.share-list");
    this.hint = el("p.hint", { role: "status" });
    this.make = el("button.primary", { type: "button", onclick: () => this.#make() }, t("share.make"));
    this.element = el("dialog.dialog.shares", { "aria-labelledby": id },
      dialogHead(id, t("share.title")), el("p", {}, t("share.seen")), el("p", {}, t("share.not_seen")),
      this.made, this.heading, this.list, this.hint,
      el("div.dialog-actions", {}, this.make));
  }

  open() {
    showUntilClosed(this.element);
    this.make.focus();
    return this.#try(() => this.#read());
  }

  async #make() {
    if (this.making) return;
    this.making = true;
    await this.#try(async () => {
      const { path } = await this.ask("POST", this.path, { run_id: this.tip });
      this.address.value = new URL(ROOT + path, location.href).href;
      this.made.hidden = false;
      const copied = await copy(this.address.value);
      await this.#read();
      setText(this.hint, t(copied ? "share.copied" : "share.made"));
    });
    this.making = false;
  }

  async #read() {
    const { shares } = await this.ask("GET", this.path);
    this.heading.hidden = shares.length === 0;
    this.list.replaceChildren(...shares.map((share) => this.#row(share)));
  }

  #row({ share_id: shareId, created_at: made, expires_at: ends }) {
    const said = t("share.row", { made: dateTime(moment(made), DAY), ends: dateTime(moment(ends), DAY) });
    const revoke = el("button.secondary", {
      type: "button", "aria-label": t("action.of", { action: t("share.revoke"), title: said }),
      onclick: () => this.#try(async () => {
        await this.ask("DELETE", `/api/shares/${encodeURIComponent(shareId)}`).catch((fault) => { if (fault.status !== 404) throw fault; });
        this.made.hidden = true; // it may have been this one
        await this.#read();
        setText(this.hint, t("share.revoked"));
        this.make.focus();
      }),
    }, t("share.revoke"));
    return el("li.share", {}, el("span", {}, said), revoke);
  }

  /** One thing after the other: what is pressed while the list is read is done then. */
  #try(act) {
    this.doing = this.doing.then(async () => {
      setText(this.hint, "");
      try {
        await act();
      } catch (fault) {
        setText(this.hint, fault.message);
      }
    });
    return this.doing;
  }
}
