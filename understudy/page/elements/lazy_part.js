/** A part of the page whose code is loaded when it is first used: most visits do without it. */

import { t } from "../client/messages.js";

export class LazyPart {
  /** `load()` imports the module of which `make(module)` makes the part, once; `onFault({message})`: it cannot be had. */
  constructor(load, make, onFault) {
    Object.assign(this, { load, make, onFault, made: null, loading: false });
  }

  /** Calls `act(part)` as soon as the part is there; not at all while it is still to come for a use before. */
  async use(act) {
    if (this.loading) return null;
    if (this.made === null && !(await this.#made())) return null;
    return act(this.made);
  }

  async #made() {
    this.loading = true;
    try {
      this.made = this.make(await this.load());
      return true;
    } catch (fault) {
      if (!(fault instanceof TypeError)) throw fault;
      this.onFault({ message: t("code.offline") }); // no network, and not kept
      return false;
    } finally {
      this.loading = false;
    }
  }
}
