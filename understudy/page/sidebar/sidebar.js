/** The list of chats: newest first, searchable; on narrow screens a drawer. */

import { ChatActs } from "./chat_acts.js";
import { arrange, composing, el, setText } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { TagFilter, extended, NO_THREADS, refreshed, wantedAtTop, without, keepThreads, keptThreads } from "./listed.js";
import { ThreadRow } from "./thread_row.js";
import { moment, period } from "../client/format.js";
import { searched } from "../client/tags.js";
import { t } from "../client/messages.js";

const MOST_PINNED = 100; // more are listed with the others
const FOLDED = "understudy.sidebar"; // as `first_paint.js` reads it
const SOON_MS = 400;
const TYPED_MS = 180; // a pause this long while searching asks the server

export class Sidebar {
  /** `acts` is {open(id, messageId or null), create(), removed(id, {elsewhere}), renamed(id), fault(error)}; `markOf(id)` is the mark of a chat, as `ThreadRow` takes it. */
  constructor(api, acts, markOf, storage) {
    Object.assign(this, { api, acts, markOf, storage, read: keptThreads(storage), pinned: [], which: "active", extra: new Map(), current: null, rows: new Map(), asked: 0 });
    this.search = el("input.search-input", {
      type: "search", placeholder: t("sidebar.search"), "aria-label": t("sidebar.search"), autocomplete: "off",
    });
    this.chats = new ChatActs(api, {
      onChanged: (...change) => this.#changed(...change), onFault: (fault) => acts.fault(fault),
      more: acts.more,
      onRemoved: (threadId, how) => {
        this.#drop(threadId);
        acts.removed(threadId, how);
      },
    });
    this.filter = new TagFilter(api, this.search, () => this.refresh());
    this.list = el("div.row-groups");
    this.hint = el("p.hint.side-hint", { role: "status" });
    this.more = el("button.quiet.more", { type: "button", hidden: true, onclick: () => this.#load(true) }, t("sidebar.older"));
    this.archive = el("button.quiet.more.archive-button", { type: "button", onclick: () => this.#switch() });
    this.element = el("aside.sidebar", { id: "sidebar", "aria-label": t("sidebar.name") },
      el("div.brand", {}, el("span.brand-mark", { "aria-hidden": "true" }), el("span.brand-name", {}, "understudy"),
        el("button.quiet.icon-button.fold", { type: "button", title: t("sidebar.close"), "aria-label": t("sidebar.close"), onclick: () => this.fold(true) }, icon("fold")),
        el("button.quiet.icon-button.drawer-close", { type: "button", "aria-label": t("sidebar.close"), onclick: () => this.toggle(false) }, icon("close"))),
      el("button.new-chat", { type: "button", onclick: () => this.acts.create() }, icon("plus"), t("chat.new")),
      el("label.search", {}, icon("search"), this.search, this.paletteKey = el("kbd", { "aria-hidden": "true" })),
      this.filter.element,
      el("nav.chats", { "aria-label": t("sidebar.name") }, this.list, this.hint, this.more, this.archive));
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
    clearTimeout(this.soon);
    return this.#load(false);
  }

  /** Reads the list again in a moment, once for several changes; and the tags, if one of them may have changed those. */
  refreshSoon({ tags = false } = {}) {
    clearTimeout(this.soon);
    this.tagsToo ||= tags;
    this.soon = setTimeout(() => {
      if (this.tagsToo) this.filter.refresh();
      this.tagsToo = false;
      this.refresh();
    }, SOON_MS);
  }

  /** Forgets the chats of another user. */
  forget() {
    this.read = NO_THREADS;
    this.pinned = [];
    this.extra.clear();
    this.filter.forget();
    keepThreads(this.storage, this.read);
    this.show();
  }

  /** Shows a chat of this page that the server's list does not have yet. */
  note(threadId, title) {
    const known = this.threads.some((thread) => thread.id === threadId);
    if (!known && title) {
      this.extra.set(threadId, { id: threadId, title, updated_at: Date.now() / 1000 });
      keepThreads(this.storage, { threads: [...this.extra.values(), ...this.threads] });
    }
    this.show();
  }

  /** Shows the titles that models have made for chats, at once; then the list as the server has it, as after changes on other devices. */
  take(events) {
    for (const { type, thread_id: threadId, data } of events) {
      if (type === "thread_titled") this.#changed(threadId, { title: data.title }, true);
      if (type !== "thread_changed") continue;
      if (data?.deleted) this.chats.gone(threadId);
      this.refreshSoon({ tags: true });
    }
  }

  thread(threadId) {
    return this.threads.find((thread) => thread.id === threadId) ?? this.pinned.find((thread) => thread.id === threadId) ?? this.extra.get(threadId) ?? null;
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

  /** Puts the list away on a wide screen, or back, also for the next visit. */
  fold(folded) {
    const { dataset } = document.documentElement;
    if (folded) dataset.sidebar = "folded";
    else delete dataset.sidebar;
    if (folded) this.storage.setItem(FOLDED, "folded");
    else this.storage.removeItem(FOLDED);
    this.onToggle?.(!folded);
  }

  /** Shows the list, wherever it is. */
  unfold() {
    this.fold(false);
    this.toggle(true);
  }

  focusSearch() {
    this.unfold();
    this.search.focus();
    this.search.select();
  }

  /** Lists the chats with a tag, or no more. */
  showTag(tag) {
    this.unfold();
    this.filter.toggle(tag);
  }

  /** Shows the tags of a chat, to change them. */
  tag(thread) {
    return this.chats.tag(thread, this.filter.tags);
  }

  /** The number of the user's chats that were read; null before that, and during a search. */
  get total() {
    return this.loaded && !this.query ? this.threads.length : null;
  }

  /** All chats that are known here, those of this page first. */
  get all() {
    return [...this.extra.values(), ...this.pinned, ...this.threads];
  }

  get threads() {
    return this.read.threads;
  }

  /** Shows the archived chats, or the others again. */
  #switch() {
    this.which = this.which === "active" ? "archived" : "active";
    this.read = NO_THREADS;
    this.loaded = false;
    this.search.value = "";
    return this.refresh();
  }

  /** Reads the top of the list again, or further down. */
  async #load(further) {
    const { which } = this;
    const query = this.search.value.trim();
    const same = query === (this.query ?? "");
    const turn = further ? this.asked : (this.asked += 1);
    const outdated = () => which !== this.which || (further ? query !== this.query : turn !== this.asked); // another question was asked meanwhile
    try {
      const keepsPinned = further || query || which !== "active";
      const readPinned = async () => (await this.api.threads({ which: "pinned", limit: MOST_PINNED })).threads;
      const [page, early] = await Promise.all([
        this.api.threads(further ? { query, which, cursor: this.read.cursor } : { query, which, limit: wantedAtTop(same ? this.read : NO_THREADS) }),
        !keepsPinned && this.read.cursor ? readPinned() : null,
      ]);
      // Of a user with few chats all are on the page, the pinned ones among them.
      const pinned = keepsPinned ? this.pinned : early ?? (page.next_cursor ? await readPinned() : page.threads.filter((thread) => thread.pinned));
      if (outdated()) return;
      this.pinned = pinned;
      this.read = further ? extended(this.read, page) : refreshed(same ? this.read : NO_THREADS, page);
      this.query = query;
      if (query === "" && which === "active") keepThreads(this.storage, { threads: [...pinned, ...this.threads] });
      for (const thread of this.threads) this.extra.delete(thread.id);
      this.failed = false;
      if (!this.loaded && this.threads.length > 0) this.filter.refresh();
      this.loaded = true;
    } catch {
      if (!outdated()) this.failed = true;
    }
    this.show();
    this.acts.renamed(this.current); // the list may have another title of the open chat
  }

  show() {
    const { query, tags } = searched(this.query ?? "");
    const fits = ({ title, tags: own = [] }) => title.toLowerCase().includes(query.toLowerCase()) && tags.every((tag) => own.includes(tag));
    const extra = [...this.extra.values()].filter(fits);
    const pinned = this.query || this.which !== "active" ? [] : this.pinned;
    const shown = new Set(pinned.map(({ id }) => id));
    const rest = [...(this.which === "active" ? extra : []), ...this.threads].filter(({ id }) => !shown.has(id)).sort((one, other) => moment(other.updated_at) - moment(one.updated_at));
    const all = [...pinned, ...rest];
    const groups = new Map(pinned.length > 0 ? [[t("sidebar.pinned"), pinned.map((thread) => this.#row(thread))]] : []);
    for (const thread of rest) {
      const name = period(moment(thread.updated_at), Date.now());
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(this.#row(thread));
    }
    for (const id of this.rows.keys()) if (!all.some((thread) => thread.id === id)) this.rows.delete(id);
    arrange(this.list, [...groups].map(([name, rows]) => this.#group(name, rows)));
    this.filter.show(this.all);
    this.more.hidden = !this.read.cursor;
    this.archive.hidden = !this.loaded || Boolean(this.query);
    this.archive.replaceChildren(icon(this.which === "active" ? "archive" : "left"), t(this.which === "active" ? "sidebar.archived" : "sidebar.archived_back"));
    setText(this.hint, this.#hintText(all.length));
    this.hint.hidden = this.hint.textContent === "";
  }

  #hintText(found) {
    if (this.failed) return this.loaded || found > 0 ? "" : t("sidebar.unreachable");
    if (found > 0 || !this.loaded) return "";
    if (this.which === "archived") return t("sidebar.archived_none");
    return this.query ? t("sidebar.no_match") : t("sidebar.empty");
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
      row = new ThreadRow(thread, (...at) => this.acts.open(...at), this.chats, (one) => this.tag(one));
      this.rows.set(thread.id, row);
    }
    row.update(thread, { current: thread.id === this.current, mark: this.markOf(thread.id), archived: thread.archived === true && this.which === "active" });
    return row.element;
  }

  /** Shows what has become of a chat, at once; then the list as the server has it. */
  #changed(threadId, members, anew = Object.keys(members).length === 0) {
    for (const thread of this.all.filter(({ id }) => id === threadId)) Object.assign(thread, members);
    if (members.tags) this.filter.refresh();
    if (members.archived !== undefined) this.#drop(threadId);
    else this.show();
    this.acts.renamed(threadId);
    if (anew) this.refresh();
  }

  #drop(threadId) {
    this.read = without(this.read, threadId);
    this.pinned = this.pinned.filter(({ id }) => id !== threadId);
    this.extra.delete(threadId);
    this.show();
  }

  #key(event) {
    if (composing(event)) return;
    if (event.key === "Enter") {
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
