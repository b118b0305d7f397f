/** The dialog of the agents' memory: lists it by notebook, to change or delete. */

import { humanised, moment } from "../../client/format.js";
import { dateTime, enumerated, learn, listed, t } from "../../client/messages.js";
import { confirmed, dialogHead, showUntilClosed } from "../../elements/dialog.js";
import { composing, el, freshId, setText } from "../../elements/dom.js";
import { icon } from "../../elements/icons.js";
import { MESSAGES } from "./messages/dialog.js";

const PATH = "/api/memory";
const SEARCHED = 4; // values from which there is a search
const DATE = { day: "numeric", month: "short", year: "numeric" };

export class MemoryDialog {
  /** `page` is what `extend` is given. */
  constructor(page) {
    learn(MESSAGES);
    this.page = page;
    const id = freshId("memory");
    this.list = el("div.memory-list");
    this.hint = el("p.memory-hint", { role: "status" });
    this.search = el("input.dialog-input.memory-search", {
      type: "search", placeholder: t("action.search"), "aria-label": t("memory.search"), hidden: true, oninput: () => this.#filter(),
    });
    this.everything = el("button.danger", { type: "button", hidden: true, onclick: () => this.#forgetAll() }, t("memory.forget_all"));
    this.element = el("dialog.dialog.memory", { "aria-labelledby": id },
      dialogHead(id, t("memory.title")), el("p", {}, t("memory.introduction")), this.search, this.list, this.hint,
      el("div.dialog-actions", {}, this.everything));
  }

  show() {
    this.search.value = "";
    showUntilClosed(this.element);
    return this.#load("");
  }

  /** Reads the list again, and says `sentence` below it. */
  async #load(sentence) {
    try {
      const { memory, notebooks } = await this.#read();
      this.#show(memory, notebooks);
      setText(this.hint, sentence || (memory.length === 0 ? t("memory.none") : ""));
    } catch (fault) {
      setText(this.hint, fault.message);
    }
  }

  /** {memory, notebooks}: each value {notebook, name, value, updated_at, expires_at}, and whose notebooks they are. */
  async #read() {
    const memory = [];
    let answer = { next_cursor: "" };
    do {
      answer = await this.page.ask("GET", `${PATH}?${new URLSearchParams({ cursor: answer.next_cursor })}`);
      memory.push(...answer.memory);
    } while (answer.next_cursor);
    return { memory, notebooks: answer.notebooks };
  }

  #show(memory, notebooks) {
    const groups = new Map();
    for (const one of memory) groups.set(one.notebook, [...(groups.get(one.notebook) ?? []), one]);
    this.list.replaceChildren(...[...groups].map(([notebook, entries]) => {
      const agents = notebooks[notebook] ?? [humanised(notebook)];
      return el("section.memory-book", {},
        el("h3", {}, agents.length > 3 ? t("memory.and_more", { names: enumerated(agents.slice(0, 2)), count: agents.length - 2 }) : listed(agents)),
        el("ul", {}, entries.map((entry) => this.#row(entry))));
    }));
    this.everything.hidden = memory.length === 0;
    this.search.hidden = memory.length < SEARCHED;
    this.#filter();
  }

  /** Shows the values that have all words of the search; what is being changed stays in sight. */
  #filter() {
    const words = this.search.hidden ? [] : this.search.value.toLowerCase().split(/\s+/u).filter(Boolean);
    for (const row of this.list.querySelectorAll(".memory-row")) {
      const text = row.querySelector(".memory-text").textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    for (const book of this.list.children) book.hidden = !book.querySelector("li:not([hidden]), form");
    setText(this.hint, words.length > 0 && [...this.list.children].every((book) => book.hidden) ? t("memory.no_match") : "");
  }

  #row(entry) {
    const name = humanised(entry.name);
    const until = dateTime(moment(entry.expires_at), DATE);
    const row = el("li.memory-row", {},
      el("div.memory-text", {}, el("strong", {}, name), el("span", { dir: "auto" }, written(entry.value)), el("small", {}, t("memory.until", { date: until }))),
      this.#tool("pencil", t("action.of", { action: t("memory.change"), title: name }), () => row.replaceWith(this.#editor(entry, row))),
      this.#tool("trash", t("action.of", { action: t("memory.forget"), title: name }), () => this.#act(() => this.page.ask("DELETE", `${pathOf(entry)}?if_updated_at=${entry.updated_at}`), t("memory.forgotten", { name }))));
    return row;
  }

  #tool(picture, label, onclick) {
    return el("button.quiet.icon-button", { type: "button", "aria-label": label, title: label, onclick }, icon(picture));
  }

  #editor(entry, row) {
    const name = humanised(entry.name);
    const input = el("textarea.dialog-input", { rows: 3, value: written(entry.value), "aria-label": t("memory.editor", { name }), dir: "auto" });
    const form = el("form.memory-edit", {
      onsubmit: (event) => {
        event.preventDefault();
        const value = parsed(input.value, entry.value);
        if (value === undefined) setText(this.hint, t("memory.must_be_json", { name }));
        else this.#act(() => this.page.ask("PUT", pathOf(entry), { value, if_updated_at: entry.updated_at }), t("memory.changed", { name }));
      },
      onkeydown: (event) => {
        if (event.key !== "Escape" || composing(event)) return;
        event.preventDefault(); // the dialog stays open
        event.stopPropagation();
        form.replaceWith(row);
      },
    }, input, el("div.memory-actions", {},
      el("button.secondary", { type: "button", onclick: () => form.replaceWith(row) }, t("action.cancel")), el("button.primary", { type: "submit" }, t("action.save"))));
    queueMicrotask(() => input.focus());
    return form;
  }

  async #forgetAll() {
    const agreed = await confirmed({ title: t("memory.forget_all_title"), text: t("memory.forget_all_text"), agree: t("memory.forget") });
    if (agreed) await this.#act(() => this.page.ask("DELETE", PATH), t("memory.all_forgotten"));
  }

  /** Makes a change; one that was overtaken by another tab or an agent is not made, and the newer list is shown. */
  async #act(change, done) {
    try {
      await change();
      await this.#load(done);
    } catch (fault) {
      if (fault.status === 409 || fault.status === 404) await this.#load(fault.message);
      else setText(this.hint, fault.message);
    }
  }
}

function pathOf({ notebook, name }) {
  return `${PATH}/${encodeURIComponent(notebook)}/${encodeURIComponent(name)}`;
}

function written(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Returns the value that was typed in place of another; undefined if it should be JSON and is not. */
function parsed(text, before) {
  if (typeof before === "string") return text;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
