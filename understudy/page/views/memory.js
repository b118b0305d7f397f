/** "What agents remember about you": a dialog that lists it by notebook, to change or delete. */

import { confirmed } from "./dialog.js";
import { el, freshId, setText } from "./dom.js";
import { icon } from "./icons.js";
import { humanised, moment } from "../client/format.js";

const INTRODUCTION = "Agents keep these over all your chats, until the day shown. Say “remember that …” to add something.";
const SEARCHED = 4; // values from which there is a search
const DATE = { day: "numeric", month: "short", year: "numeric" };

export class MemoryDialog {
  /** `api` is an `Api`. */
  constructor(api) {
    this.api = api;
    this.button = el("button.quiet.side-button", { type: "button", "aria-haspopup": "dialog", onclick: () => this.open() }, icon("thought"), "Memory");
    const id = freshId("memory");
    this.list = el("div.memory-list");
    this.hint = el("p.memory-hint", { role: "status" });
    this.search = el("input.dialog-input.memory-search", {
      type: "search", placeholder: "Search", "aria-label": "Search what is remembered", hidden: true, oninput: () => this.#filter(),
    });
    this.everything = el("button.danger", { type: "button", hidden: true, onclick: () => this.#forgetAll() }, "Forget everything");
    this.element = el("dialog.dialog.memory", { "aria-labelledby": id },
      el("h2", { id }, "What agents remember about you"), el("p", {}, INTRODUCTION), this.search, this.list, this.hint,
      el("div.dialog-actions", {}, this.everything,
        el("button.secondary", { type: "button", autofocus: true, onclick: () => this.element.close() }, "Close")));
    this.element.addEventListener("close", () => this.element.remove());
  }

  open() {
    document.body.append(this.element);
    this.search.value = "";
    this.element.showModal();
    return this.#load("");
  }

  /** Reads the list again, and says `sentence` below it. */
  async #load(sentence) {
    try {
      const { memory, notebooks } = await this.api.memory();
      this.#show(memory, notebooks);
      setText(this.hint, sentence || (memory.length === 0 ? "Nothing is remembered about you." : ""));
    } catch (fault) {
      setText(this.hint, fault.message);
    }
  }

  #show(memory, notebooks) {
    const groups = new Map();
    for (const one of memory) groups.set(one.notebook, [...(groups.get(one.notebook) ?? []), one]);
    this.list.replaceChildren(...[...groups].map(([notebook, entries]) => {
      const agents = notebooks[notebook] ?? [humanised(notebook)];
      return el("section.memory-book", {},
        el("h3", {}, agents.length > 3 ? `${agents.slice(0, 2).join(", ")} and ${agents.length - 2} more agents` : agents.join(", ")),
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
    setText(this.hint, words.length > 0 && [...this.list.children].every((book) => book.hidden) ? "Nothing remembered has these words." : "");
  }

  #row(entry) {
    const name = humanised(entry.name);
    const until = new Date(moment(entry.expires_at)).toLocaleDateString(undefined, DATE);
    const row = el("li.memory-row", {},
      el("div.memory-text", {}, el("strong", {}, name), el("span", { dir: "auto" }, written(entry.value)), el("small", {}, `until ${until}`)),
      this.#tool("pencil", `Change: ${name}`, () => row.replaceWith(this.#editor(entry, row))),
      this.#tool("trash", `Forget: ${name}`, () => this.#act(() => this.api.forget(entry), `${name} is forgotten.`)));
    return row;
  }

  #tool(picture, label, onclick) {
    return el("button.quiet.icon-button", { type: "button", "aria-label": label, title: label, onclick }, icon(picture));
  }

  #editor(entry, row) {
    const name = humanised(entry.name);
    const input = el("textarea.dialog-input", { rows: 3, value: written(entry.value), "aria-label": `${name}, changed`, dir: "auto" });
    const form = el("form.memory-edit", {
      onsubmit: (event) => {
        event.preventDefault();
        const value = read(input.value, entry.value);
        if (value === undefined) setText(this.hint, `${name} must stay JSON.`);
        else this.#act(() => this.api.changeMemory(entry, value), `${name} is changed.`);
      },
      onkeydown: (event) => {
        if (event.key !== "Escape") return;
        event.preventDefault(); // the dialog stays open
        event.stopPropagation();
        form.replaceWith(row);
      },
    }, input, el("div.memory-actions", {},
      el("button.secondary", { type: "button", onclick: () => form.replaceWith(row) }, "Cancel"), el("button.primary", { type: "submit" }, "Save")));
    queueMicrotask(() => input.focus());
    return form;
  }

  async #forgetAll() {
    const agreed = await confirmed({ title: "Forget everything?", text: "No agent will remember anything about you. Your chats stay.", agree: "Forget" });
    if (agreed) await this.#act(() => this.api.forgetAll(), "Everything is forgotten.");
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

function written(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What was written in place of a value; undefined when it should be JSON and is not. */
function read(text, before) {
  if (typeof before === "string") return text;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
