/** The command palette: chats, agents and actions by what is typed. A combobox with a list (WAI-ARIA 1.2). */

import { composing, el, freshId, setText } from "../elements/dom.js";
import { showUntilClosed } from "../elements/dialog.js";
import { icon } from "../elements/icons.js";
import { t } from "../client/messages.js";

const TYPED_MS = 180; // a pause this long while typing asks the server
const SEARCHED = 12; // chats that it finds

export class Palette {
  /** `entries()` gives lists of {id, title, words, icon, detail, keys, act}; `search(query)` resolves to such a list of chats. */
  constructor(entries, search) {
    Object.assign(this, { entries, search, asked: 0 });
  }

  get open() {
    return this.dialog?.open ?? false;
  }

  toggle() {
    if (this.open) this.dialog.close();
    else this.show();
  }

  show() {
    const id = freshId("palette");
    this.list = el("ul.palette-list", { id, role: "listbox", "aria-label": t("palette.results") });
    this.input = el("input.palette-input", {
      type: "text", role: "combobox", "aria-label": t("palette.label"), placeholder: t("palette.label"), "aria-expanded": "true",
      "aria-controls": id, "aria-autocomplete": "list", autocomplete: "off", spellcheck: false, dir: "auto",
      oninput: () => this.#typed(), onkeydown: (event) => this.#key(event),
    });
    this.none = el("p.hint.palette-none", { role: "status" });
    this.dialog = el("dialog.dialog.palette", { "aria-label": t("palette.label") },
      el("div.palette-head", {}, icon("search"), this.input), this.list, this.none);
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    showUntilClosed(this.dialog);
    this.groups = this.entries();
    this.more = [];
    this.#draw();
    this.input.focus();
  }

  #typed() {
    this.#draw();
    clearTimeout(this.typing);
    const query = this.input.value.trim();
    const turn = this.asked += 1;
    if (query === "") return;
    this.typing = setTimeout(async () => {
      const more = await this.search(query, SEARCHED).catch(() => []); // what is known here is shown without the server
      if (turn !== this.asked || !this.open) return;
      this.more = more.map((entry) => ({ ...entry, found: true }));
      this.#draw();
    }, TYPED_MS);
  }

  #draw() {
    const query = this.input.value;
    if (query.trim() === "") this.more = [];
    const before = this.shown?.[this.at]?.id;
    const found = new Map(this.more.map((entry) => [entry.id, entry])); // they say which words of a message were found
    this.shown = fitting(query, [...this.groups.map((group) => group.map((entry) => found.get(entry.id) ?? entry)), this.more]);
    this.list.replaceChildren(...this.shown.map((entry) => this.#option(entry)));
    setText(this.none, this.shown.length === 0 ? t("palette.none") : "");
    this.#select(Math.max(this.typed === query ? this.shown.findIndex(({ id }) => id === before) : 0, 0));
    this.typed = query;
  }

  #option(entry) {
    const option = el("li.palette-option", { id: freshId("option"), role: "option", "aria-selected": "false", onclick: () => this.#choose(entry) },
      icon(entry.icon), el("span.palette-title", { dir: "auto" }, entry.title), entry.detail && el("span.palette-detail", {}, entry.detail),
      entry.keys && el("kbd", {}, entry.keys));
    option.addEventListener("pointermove", () => this.#select([...this.list.children].indexOf(option), false));
    return option;
  }

  #select(at, scroll = true) {
    const { children } = this.list;
    children[this.at]?.setAttribute("aria-selected", "false");
    this.at = children.length === 0 ? -1 : (at + children.length) % children.length;
    const option = children[this.at];
    option?.setAttribute("aria-selected", "true");
    if (scroll) option?.scrollIntoView({ block: "nearest" });
    if (option) this.input.setAttribute("aria-activedescendant", option.id);
    else this.input.removeAttribute("aria-activedescendant");
  }

  #key(event) {
    if (composing(event)) return;
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (steps[event.key]) this.#select(this.at + steps[event.key]);
    else if (event.key === "Enter" && this.shown[this.at]) this.#choose(this.shown[this.at]);
    else return;
    event.preventDefault();
  }

  #choose(entry) {
    this.dialog.close();
    entry.act();
  }
}

// The search of the command palette.

const MOST = 40; // entries shown

/** Text without case and accents, so that "resume" finds "Résumé". */
export function folded(text) {
  return text.normalize("NFKD").replaceAll(/\p{M}/gu, "").toLowerCase();
}

/** Returns how well all words of a query fit: 3 if the title begins with them, 2 at beginnings of words, 1 anywhere, 0 not at all. */
function fit(query, { title, words = "" }) {
  const asked = folded(query).split(/\s+/).filter(Boolean);
  const all = folded(`${title} ${words}`);
  if (!asked.every((word) => all.includes(word))) return 0;
  const name = folded(title);
  if (name.startsWith(asked.join(" "))) return 3;
  return asked.every((word) => all.split(/[^\p{L}\p{N}]+/u).some((part) => part.startsWith(word))) ? 2 : 1;
}

/**
 * The entries to show, best first: `groups` are lists of {id, title, words}, each id once. Without a query they stand as
 * they are given; entries of the same fit keep their order.
 */
export function fitting(query, groups) {
  const seen = new Set();
  const all = groups.flat().filter(({ id }) => !seen.has(id) && seen.add(id));
  if (query.trim() === "") return all.slice(0, MOST);
  return all.map((entry) => [entry.found ? Math.max(fit(query, entry), 1) : fit(query, entry), entry]) // the server has found it in a message
    .filter(([fits]) => fits > 0).sort(([one], [other]) => other - one).map(([, entry]) => entry).slice(0, MOST);
}
