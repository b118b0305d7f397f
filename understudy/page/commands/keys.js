/** The keys that work anywhere on the page. */

import { LazyPart } from "../elements/lazy_part.js";
import { composing } from "../elements/dom.js";
import { t } from "../client/messages.js";

export class Keys {
  /** `page` is the page: {sidebar, create(), stop(), fault(error)}, and what `Commands` needs of it. */
  constructor(page) {
    this.page = page;
    this.commands = new LazyPart(() => import("./commands.js"), ({ Commands }) => new Commands(page), (fault) => page.fault(fault));
    page.sidebar.paletteKey.textContent = commandKey("K");
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Lists the keys. */
  sheet() {
    return this.commands.use((commands) => commands.sheet());
  }

  #key(event) {
    if (composing(event)) return;
    const { page } = this;
    const command = (event.ctrlKey || event.metaKey) && !event.altKey;
    const key = event.key.toLowerCase();
    const modal = document.querySelector("dialog[open]") !== null;
    if (command && !event.shiftKey && key === "k" && (!modal || this.commands.made?.palette.open)) this.commands.use(({ palette }) => palette.toggle());
    else if (!modal && (command ? event.key === "/" : event.key === "?" && !writes(event.target))) this.sheet();
    else if (command && event.shiftKey && key === "o" && !modal) page.create();
    else if (event.key === "Escape" && !modal) {
      if (document.body.classList.contains("drawer-open")) page.sidebar.toggle(false);
      else page.stop();
      return;
    } else return;
    event.preventDefault();
  }
}

/** Whether what is typed on an element is text of its own. */
function writes(element) {
  return element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);
}

// Names of keys on this system.

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/** A key with the one that commands are given with, as this system writes it. */
export const commandKey = (key, { shift = false } = {}) => (MAC ? `${shift ? "⇧" : ""}⌘${key}` : [t("key.control"), shift && t("key.shift"), key].filter(Boolean).join("+"));
