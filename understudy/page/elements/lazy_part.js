/** Parts of the page that are loaded when they are first used: most visits do without them. */

import { t } from "../client/messages.js";
import { el } from "./dom.js";

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

/** Of these extensions, those that have a part of this page: the server writes their names into its head. */
export function withParts(names) {
  const here = document.querySelector("meta[name=page-extensions]")?.content.split(" ") ?? [];
  return names.filter((name) => here.includes(name));
}

/** Loads a style sheet, once; resolves when it applies. */
export function addStyle({ href }) {
  if (!styles.has(href)) styles.set(href, styled(href).catch((fault) => {
    styles.delete(href);
    throw fault;
  }));
  return styles.get(href);
}

const styles = new Map(); // address -> promise

function styled(href) {
  return new Promise((resolve, reject) => {
    const link = el("link", {
      rel: "stylesheet", href, onload: resolve, onerror: () => {
        link.remove();
        reject(new TypeError(href)); // as an import does
      },
    });
    document.head.append(link);
  });
}
