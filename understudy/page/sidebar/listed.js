/** The chats in the side bar: the loaded pages of the list, its stored top, and the tags that filter it. */

import { arrange, el } from "../elements/dom.js";
import { counted, searched, toggled } from "../client/tags.js";
import { t } from "../client/messages.js";

// The list of chats as pages of it are read, newest first.

const FIRST = 40; // chats of a page
const MOST = 200; // chats that the server gives at a time

/** A list of which nothing was read. */
export const NO_THREADS = Object.freeze({ threads: [], cursor: null });

/** Returns the number of chats to read at the top of a list, so that its shown part stays up to date. */
export function wantedAtTop({ threads }) {
  return Math.min(Math.max(threads.length, FIRST), MOST);
}

/** The list after its top was read again: the chats below it stay, unless others may be missing between the two. */
export function refreshed(list, page) {
  const read = { threads: page.threads, cursor: page.next_cursor ?? null };
  const last = page.threads.at(-1);
  const at = list.threads.findIndex((thread) => thread.id === last?.id && thread.updated_at === last.updated_at);
  if (read.cursor === null || at < 0 || at === list.threads.length - 1) return read;
  const ids = new Set(page.threads.map((thread) => thread.id));
  const below = list.threads.slice(at + 1).filter((thread) => !ids.has(thread.id));
  return { threads: [...page.threads, ...below], cursor: list.cursor };
}

/** The list with the next page of it. */
export function extended(list, page) {
  const ids = new Set(list.threads.map((thread) => thread.id));
  return { threads: [...list.threads, ...page.threads.filter((thread) => !ids.has(thread.id))], cursor: page.next_cursor ?? null };
}

export function without(list, threadId) {
  return { ...list, threads: list.threads.filter((thread) => thread.id !== threadId) };
}

// The top of the list of chats, kept so that a reload shows it at once, also without a network.

const KEY = "understudy.threads";
const MOST_KEPT = 100;

/** The list as it was kept: {threads, cursor} without a cursor; empty when nothing was. */
export function keptThreads(storage) {
  try {
    const threads = JSON.parse(storage.getItem(KEY) ?? "[]");
    return { threads: threads.filter((thread) => typeof thread?.id === "string"), cursor: null };
  } catch {
    return { threads: [], cursor: null };
  }
}

/** Keeps the newest of a list; none to forget them. It may be lost: the server has it. */
export function keepThreads(storage, { threads }) {
  if (threads.length === 0) storage.removeItem(KEY);
  else storage.offer(KEY, JSON.stringify(threads.slice(0, MOST_KEPT)));
}

// The user's tags below the search box: each puts itself into the search, or takes itself out.

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
