/** The fields of a form, whose code is loaded with the first form that is shown: most chats have none. */

import { t } from "../client/messages.js";
import { el } from "../elements/dom.js";

export class LazyFields {
  /** `given` is what FormFields takes; its methods are here too. Until they are there, nothing can be read from them. */
  constructor(...given) {
    Object.assign(this, { fields: null, focused: false, off: false });
    this.element = el("div.fields", {}, el("p.hint", { role: "status" }, t("step.loading")));
    this.#load(given);
  }

  async #load(given) {
    try {
      const { FormFields } = await import("./form.js");
      this.fields = new FormFields(...given);
    } catch (fault) {
      if (!(fault instanceof TypeError)) throw fault;
      this.element.replaceChildren(el("p.hint", { role: "alert" }, t("code.offline"))); // no network, and not kept
      return;
    }
    this.element.replaceChildren(...this.fields.elements);
    this.fields.disabled = this.off;
    if (this.focused) this.fields.focus();
  }

  read() {
    return this.fields?.read() ?? null;
  }

  refuse(message) {
    return this.fields?.refuse(message) ?? false;
  }

  focus() {
    this.focused = true;
    this.fields?.focus();
  }

  set disabled(off) {
    this.off = off;
    if (this.fields) this.fields.disabled = off;
  }
}
