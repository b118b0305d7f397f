/** One chat in the sidebar: open it, rename it in place, delete it. */

import { el, setText } from "./dom.js";
import { icon } from "./icons.js";
import { scheduleMark } from "./schedules.js";

export class ThreadRow {
  /** `acts` is {open(id), rename(id, title), remove(thread)}. */
  constructor(thread, acts) {
    this.thread = thread;
    this.acts = acts;
    this.title = el("span.row-title");
    this.mark = el("span.row-mark", { title: "Working", hidden: true }, el("span.spinner"));
    const by = scheduleMark(thread.id, "By a schedule");
    this.link = el("a.row-link", { href: `#${encodeURIComponent(thread.id)}` }, by, this.title, this.mark);
    this.link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      acts.open(thread.id);
    });
    this.tools = el("span.row-tools", {},
      this.#tool("pencil", "Rename", () => this.rename()), this.#tool("trash", "Delete", () => acts.remove(this.thread)));
    this.element = el("li.row", {}, this.link, this.tools);
  }

  #tool(name, word, onclick) {
    const button = el("button.quiet.icon-button", { type: "button", title: word, onclick }, icon(name));
    (this.buttons ??= []).push([button, word]);
    return button;
  }

  update(thread, { current, live }) {
    this.thread = thread;
    const title = thread.title || "New chat";
    setText(this.title, title);
    this.link.title = title;
    for (const [button, word] of this.buttons) button.setAttribute("aria-label", `${word}: ${title}`);
    this.mark.hidden = !live;
    this.element.classList.toggle("is-current", current);
    if (current) this.link.setAttribute("aria-current", "page");
    else this.link.removeAttribute("aria-current");
  }

  rename() {
    const input = el("input.row-input", { value: this.thread.title || "", "aria-label": "Title of the chat", maxLength: 200 });
    let over = false;
    const finish = (save) => {
      if (over) return;
      over = true;
      const title = input.value.trim();
      input.replaceWith(this.link);
      this.link.focus();
      if (save && title && title !== this.thread.title) this.acts.rename(this.thread.id, title);
    };
    input.addEventListener("keydown", (event) => {
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
