/** The beginning of what is there of a thread: reads the turns before it, for readers who come near and by a button. */

import { el, setText } from "./dom.js";
import { errorText, t } from "../client/messages.js";

export class OlderView {
  /**
   * `load()` reads older turns: it resolves to whether there were any, and rejects with {code, message}. `onChange()`: it
   * is to be rendered, when the place of what the reader sees is known.
   */
  constructor(load, onChange) {
    Object.assign(this, { load, onChange, more: false });
    this.button = el("button.secondary", { type: "button", onclick: () => this.read() }, t("transcript.older"));
    this.note = el("p.hint", { role: "status" });
    this.element = el("div.older", { hidden: true }, this.button, this.note);
    this.open();
  }

  /** Another thread is shown. */
  open() {
    Object.assign(this, { loading: false, fault: null, began: false, round: Symbol("round") });
  }

  /** `more`: there are older turns. */
  render(more) {
    this.more = more;
    this.element.hidden = !more && !this.began;
    this.button.hidden = !more;
    this.button.setAttribute("aria-disabled", String(this.loading));
    setText(this.note, this.#said());
  }

  #said() {
    if (!this.more) return this.began ? t("transcript.beginning") : "";
    if (this.fault !== null) return t("transcript.older_failed", { why: errorText(this.fault) });
    return this.loading ? t("transcript.older_loading") : "";
  }

  /** The reader is near: reads, unless that is under way or has just failed. */
  near() {
    if (this.more && this.fault === null) this.read();
  }

  async read() {
    if (this.loading) return;
    const { round } = this;
    Object.assign(this, { loading: true, fault: null });
    this.onChange();
    let fault = null;
    await this.load().catch((thrown) => { fault = thrown; });
    if (round !== this.round) return;
    Object.assign(this, { loading: false, fault, began: this.began || fault === null });
    this.onChange();
  }
}
