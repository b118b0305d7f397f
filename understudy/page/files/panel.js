/**
 * The panel beside the conversation for a file, table or chart: a column on a wide screen, a sheet over everything on a small one.
 *
 * It is the browser's dialog in both: as a sheet it is modal, as a column the conversation can be used meanwhile. Escape
 * closes it, and the focus goes back to what opened it.
 */

import { el, freshId, setText } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { t } from "../client/messages.js";

const WIDE = matchMedia("(min-width: 1100px)");

export class Panel {
  constructor() {
    const id = freshId("panel");
    this.opener = null;
    this.title = el("h2.panel-title", { id });
    this.note = el("p.panel-note");
    this.actions = el("div.panel-actions");
    this.body = el("div.panel-body", { tabIndex: 0, role: "group", "aria-labelledby": id });
    this.element = el("dialog.panel", { "aria-labelledby": id, onclose: () => this.#closed() },
      el("header.panel-head", {}, el("div.panel-names", {}, this.title, this.note), this.actions,
        el("button.quiet.icon-button", { type: "button", title: t("action.close"), "aria-label": t("action.close"), onclick: () => this.close() }, icon("close"))),
      this.body);
    WIDE.addEventListener("change", () => this.#reopen());
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || !this.element.open || document.querySelector("dialog:modal")) return;
      event.preventDefault();
      this.close();
    });
  }

  /** Shows `content`, an element, large; `opener` is what gets the focus back. `onClose()` is called when it is left. */
  show({ title, note = "", actions = [], content, opener = document.activeElement, onClose = () => {} }) {
    this.#leave();
    Object.assign(this, { opener, onClose });
    setText(this.title, title);
    setText(this.note, note);
    this.actions.replaceChildren(...actions);
    this.body.replaceChildren(content);
    this.body.scrollTop = 0;
    if (!this.element.open) this.#open();
    this.body.focus({ preventScroll: true });
  }

  close() {
    if (this.element.open) this.element.close();
  }

  #open() {
    if (WIDE.matches) this.element.show();
    else this.element.showModal();
  }

  /** The screen became wide or small while it is open. */
  #reopen() {
    if (!this.element.open) return;
    this.moving = true;
    this.element.close();
    this.#open();
    this.body.focus({ preventScroll: true });
  }

  #closed() {
    if (this.moving) {
      this.moving = false;
      return;
    }
    const { opener } = this;
    this.#leave();
    this.body.replaceChildren();
    if (opener?.isConnected) opener.focus();
  }

  #leave() {
    const { onClose } = this;
    Object.assign(this, { opener: null, onClose: null });
    onClose?.();
  }
}
