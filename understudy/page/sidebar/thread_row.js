/** One chat in the sidebar: opens it, renames it in place, and has a menu of further actions. */

import { composing, el, setText } from "../elements/dom.js";
import { t } from "../client/messages.js";
import { icon } from "../elements/icons.js";
import { Menu } from "../elements/menu.js";
import { isAutomatic } from "../client/ids.js";

export class ThreadRow {
  /** `onOpen(id)`; `chats` is a `ChatActs`; `onTag(thread)` changes its tags. */
  constructor(thread, onOpen, chats, onTag) {
    Object.assign(this, { thread, chats, onTag, tagged: "" });
    this.title = el("span.row-title", { dir: "auto" });
    this.mark = el("span.row-mark", { role: "img", hidden: true });
    this.away = el("span.row-sign", { role: "img", "aria-label": t("chat.archived"), title: t("chat.archived"), hidden: true }, icon("archive"));
    const by = isAutomatic(thread.id) ? el("span.row-sign", { role: "img", "aria-label": t("said.automatic"), title: t("said.automatic") }, icon("clock")) : null;
    this.link = el("a.row-link", { href: `#${encodeURIComponent(thread.id)}` }, by, this.title, this.away, this.mark, this.tags = el("span.row-tags", { hidden: true }), this.snippet = el("span.row-snippet", { dir: "auto", hidden: true }));
    this.link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      onOpen(thread.id, this.thread.match?.message_id ?? null);
    });
    this.more = el("button.quiet.icon-button.row-more", { type: "button" }, icon("more"));
    this.menu = new Menu(this.more, t("chat.menu"), () => this.actions());
    this.element = el("li.row", {}, this.link, this.more);
  }

  /** The actions on the chat: {label, icon, danger, act}. */
  actions() {
    const { thread, chats } = this;
    const { pinned = false, archived = false } = thread;
    return [
      { label: t("action.rename"), icon: "pencil", act: () => this.rename() },
      { label: t(pinned ? "chat.unpin" : "chat.pin"), icon: "pin", act: () => chats.change(thread, { pinned: !pinned }) },
      { label: t(archived ? "chat.restore" : "chat.archive"), icon: "archive", act: () => chats.change(thread, { archived: !archived }) },
      { label: t("tags.item"), icon: "tag", act: () => this.onTag(thread) },
      ...chats.more(thread),
      { label: t("chat.export_markdown"), icon: "download", act: () => chats.export(thread, "markdown") },
      { label: t("chat.export_json"), icon: "download", act: () => chats.export(thread, "json") },
      { label: t("action.delete"), icon: "trash", danger: true, act: () => chats.remove(thread) },
    ];
  }

  /** `mark` is "needs_you", "running", "unread" or null; `archived`: it is among others that are not. */
  update(thread, { current, mark, archived = false }) {
    this.thread = thread;
    const title = thread.title || t("chat.new");
    setText(this.title, title);
    this.link.title = title;
    this.more.setAttribute("aria-label", t("chat.menu_of", { title }));
    this.away.hidden = !archived;
    this.#mark(mark);
    this.#tags(thread.tags ?? []);
    this.#match(thread.match ?? null);
    this.element.classList.toggle("is-current", current);
    if (current) this.link.setAttribute("aria-current", "page");
    else this.link.removeAttribute("aria-current");
  }

  #tags(tags) {
    if (tags.join(" ") === this.tagged) return;
    this.tagged = tags.join(" ");
    this.tags.hidden = tags.length === 0;
    this.tags.replaceChildren(...tags.map((tag) => el("span.tag", { dir: "auto" }, `#${tag}`)));
  }

  /** Shows the part of a message that a search has found. */
  #match(match) {
    if (match === this.match) return;
    this.match = match;
    this.snippet.hidden = match === null;
    this.snippet.replaceChildren(...(match?.snippet ?? []).map(({ text, hit }) => (hit ? el("mark", {}, text) : text)));
  }

  #mark(mark) {
    if (mark === (this.mark.dataset.mark ?? null)) return;
    this.mark.hidden = mark === null;
    this.element.classList.toggle("is-unread", mark === "unread");
    if (mark === null) {
      delete this.mark.dataset.mark;
      return;
    }
    this.mark.dataset.mark = mark;
    this.mark.title = t(mark === "running" ? "chat.working" : `inbox.${mark}`);
    this.mark.setAttribute("aria-label", this.mark.title);
    this.mark.replaceChildren(mark === "needs_you" ? icon("shield") : el(mark === "running" ? "span.spinner" : "span.row-dot"));
  }

  rename() {
    const input = el("input.row-input", { value: this.thread.title || "", "aria-label": t("chat.title_of"), maxLength: 200 });
    let over = false;
    const finish = (save) => {
      if (over) return;
      over = true;
      const title = input.value.trim();
      input.replaceWith(this.link);
      this.link.focus();
      if (save && title && title !== this.thread.title) this.chats.change(this.thread, { title });
    };
    input.addEventListener("keydown", (event) => {
      if (composing(event)) return;
      if (event.key === "Enter") finish(true);
      else if (event.key === "Escape") finish(false);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    input.addEventListener("blur", () => finish(true));
    this.link.replaceWith(input);
    input.focus();
    input.select();
  }
}
