/** The user's tags below the search box: each puts itself into the search, or takes itself out. */

import { arrange, el } from "./dom.js";
import { counted, searched, toggled } from "../client/tags.js";
import { t } from "../client/messages.js";

const SHOWN = 12;

export class TagFilter {
  /** `search` is the search box; `onChange()`: it holds another search now. */
  constructor(api, search, onChange) {
    Object.assign(this, { api, search, onChange, known: null, seen: [], buttons: new Map() });
    this.element = el("div.tag-filter", { role: "group", "aria-label": t("tags.filter"), hidden: true });
  }

  /** The user's tags, most used first. */
  get tags() {
    return this.known ?? this.seen;
  }

  /** Asks the server for the tags; without it those of the chats that are known here are shown. */
  async refresh() {
    try {
      this.known = (await this.api.tags()).tags.map(({ tag }) => tag);
    } catch {
      this.known = null;
    }
    this.show();
  }

  forget() {
    this.known = null;
    this.show([]);
  }

  /** `threads` are the chats that are known here. */
  show(threads = null) {
    if (threads) this.seen = counted(threads);
    const pressed = searched(this.search.value).tags;
    const shown = [...new Set([...pressed.filter((tag) => this.tags.includes(tag)), ...this.tags])].slice(0, SHOWN);
    for (const tag of this.buttons.keys()) if (!shown.includes(tag)) this.buttons.delete(tag);
    arrange(this.element, shown.toSorted((one, other) => this.tags.indexOf(one) - this.tags.indexOf(other)).map((tag) => this.#button(tag, pressed.includes(tag))));
    this.element.hidden = shown.length === 0;
  }

  /** Searches for a tag, or no more. */
  toggle(tag) {
    this.search.value = toggled(this.search.value, tag);
    this.show();
    this.onChange();
  }

  #button(tag, pressed) {
    if (!this.buttons.has(tag)) this.buttons.set(tag, el("button.tag", { type: "button", dir: "auto", onclick: () => this.toggle(tag) }, `#${tag}`));
    const button = this.buttons.get(tag);
    button.setAttribute("aria-pressed", String(pressed));
    return button;
  }
}
