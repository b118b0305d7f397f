/** The list of chats: newest first, searchable; on narrow screens a drawer. */

import { confirmed } from "./dialog.js";
import { arrange, el, setText } from "./dom.js";
import { icon } from "./icons.js";
import { ThreadRow } from "./thread_row.js";
import { moment, period } from "../client/format.js";

const TYPED_MS = 180; // a pause this long while searching asks the server

export class Sidebar {
  /** `acts` is {open(id), create(), removed(id), fault(error)}; `isLive(id)` says where something is running. */
  constructor(api, acts, isLive) {
    Object.assign(this, { api, acts, isLive, threads: [], extra: new Map(), cursor: null, current: null, rows: new Map(), asked: 0 });
    const modifier = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl ";
    this.search = el("input.search-input", {
      type: "search", placeholder: "Search chats", "aria-label": "Search chats", "aria-keyshortcuts": "Control+K Meta+K", autocomplete: "off",
    });
    this.list = el("div.row-groups");
    this.hint = el("p.hint.side-hint", { role: "status" });
    this.more = el("button.quiet.more", { type: "button", hidden: true, onclick: () => this.#load(true) }, "Show older chats");
    this.element = el("aside.sidebar", { id: "sidebar", "aria-label": "Chats" },
      el("div.brand", {}, el("span.brand-mark", { "aria-hidden": "true" }), el("span.brand-name", {}, "understudy"),
        el("button.quiet.icon-button.drawer-close", { type: "button", "aria-label": "Close the list of chats", onclick: () => this.toggle(false) }, icon("close"))),
      el("button.new-chat", { type: "button", onclick: () => this.acts.create() }, icon("plus"), "New chat"),
      el("label.search", {}, icon("search"), this.search, el("kbd", { "aria-hidden": "true" }, `${modifier}K`)),
      el("nav.chats", { "aria-label": "Chats" }, this.list, this.hint, this.more));
    this.scrim = el("div.scrim", { onclick: () => this.toggle(false) });
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.refresh(), TYPED_MS);
    });
    this.search.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Puts a control below the search box. */
  add(control) {
    this.list.parentElement.before(control);
  }

  /** Reads the list again. */
  refresh() {
    return this.#load(false);
  }

  /** Shows a chat of this page that the server's list does not have yet. */
  note(threadId, title) {
    const known = this.threads.some((thread) => thread.id === threadId);
    if (!known && title) this.extra.set(threadId, { id: threadId, title, updated_at: Date.now() / 1000 });
    this.show();
  }

  thread(threadId) {
    return this.threads.find((thread) => thread.id === threadId) ?? this.extra.get(threadId) ?? null;
  }

  select(threadId) {
    this.current = threadId;
    this.show();
  }

  /** Opens or closes the drawer of narrow screens. */
  toggle(open = !document.body.classList.contains("drawer-open")) {
    document.body.classList.toggle("drawer-open", open);
    this.onToggle?.(open);
    if (open && this.element.contains(document.activeElement) === false) this.element.querySelector(".new-chat").focus();
  }

  /** Ctrl/Cmd+K: to the search box; from the search box: a new chat. */
  shortcut() {
    if (document.activeElement === this.search) {
      this.acts.create();
      return;
    }
    this.toggle(true);
    this.search.focus();
    this.search.select();
  }

  async #load(further) {
    const query = this.search.value.trim();
    const turn = this.asked += 1;
    try {
      const page = await this.api.threads({ query, cursor: further ? this.cursor : "" });
      if (turn !== this.asked) return; // a later question was asked meanwhile
      this.threads = further ? [...this.threads, ...page.threads] : page.threads;
      this.cursor = page.next_cursor ?? null;
      this.query = query;
      for (const thread of this.threads) this.extra.delete(thread.id);
      this.failed = false;
      this.loaded = true;
    } catch {
      if (turn === this.asked) this.failed = true;
    }
    this.show();
  }

  show() {
    const words = (this.query ?? "").toLowerCase();
    const extra = [...this.extra.values()].filter((thread) => !words || thread.title.toLowerCase().includes(words));
    const all = [...extra, ...this.threads].sort((one, other) => moment(other.updated_at) - moment(one.updated_at));
    const groups = new Map();
    for (const thread of all) {
      const name = period(moment(thread.updated_at), Date.now());
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(this.#row(thread));
    }
    for (const id of this.rows.keys()) if (!all.some((thread) => thread.id === id)) this.rows.delete(id);
    arrange(this.list, [...groups].map(([name, rows]) => this.#group(name, rows)));
    this.more.hidden = !this.cursor;
    setText(this.hint, this.#hintText(all.length));
    this.hint.hidden = this.hint.textContent === "";
  }

  #hintText(found) {
    if (this.failed) return this.loaded ? "" : "The list of chats cannot be reached.";
    if (found > 0 || !this.loaded) return "";
    return this.query ? "No chat matches." : "Your chats will stand here.";
  }

  #group(name, rows) {
    this.groups ??= new Map();
    if (!this.groups.has(name)) this.groups.set(name, el("section.row-group", {}, el("h3", {}, name), el("ul")));
    const group = this.groups.get(name);
    arrange(group.lastElementChild, rows);
    return group;
  }

  #row(thread) {
    let row = this.rows.get(thread.id);
    if (!row) {
      row = new ThreadRow(thread, {
        open: (id) => this.acts.open(id), rename: (id, title) => this.#rename(id, title), remove: (one) => this.#remove(one),
      });
      this.rows.set(thread.id, row);
    }
    row.update(thread, { current: thread.id === this.current, live: this.isLive(thread.id) });
    return row.element;
  }

  async #rename(threadId, title) {
    const thread = this.thread(threadId);
    const before = thread.title;
    thread.title = title;
    this.show();
    try {
      await this.api.rename(threadId, title);
      this.acts.renamed?.(threadId);
    } catch (fault) {
      thread.title = before;
      this.show();
      this.acts.fault(fault);
    }
  }

  async #remove(thread) {
    const agreed = await confirmed({
      title: "Delete this chat?", text: `“${thread.title || "New chat"}” and everything in it will be gone for good.`, agree: "Delete",
    });
    if (!agreed) return;
    try {
      await this.api.remove(thread.id);
    } catch (fault) {
      if (fault.status !== 404) {
        this.acts.fault(fault);
        return;
      }
    }
    this.threads = this.threads.filter((one) => one.id !== thread.id);
    this.extra.delete(thread.id);
    this.acts.removed(thread.id);
    this.show();
  }

  #key(event) {
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      const first = this.list.querySelector(".row-link");
      if (this.search.value.trim() === "" || !first) this.acts.create();
      else first.click();
    } else if (event.key === "Escape" && this.search.value !== "") {
      event.stopPropagation();
      this.search.value = "";
      this.refresh();
    }
  }

  /** Arrow keys walk from the search box through the chats. */
  #move(event) {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const stops = [this.search, ...this.list.querySelectorAll(".row-link")];
    const at = stops.indexOf(document.activeElement);
    if (at < 0) return;
    event.preventDefault();
    stops[Math.min(Math.max(at + (event.key === "ArrowDown" ? 1 : -1), 0), stops.length - 1)].focus();
  }
}
