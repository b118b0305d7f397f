/** The tree as the WAI-ARIA pattern has it: arrows move, right and left open and close, one tab stop. */

import { arrange, el } from "../elements/dom.js";
import { Fold, Row } from "./row.js";

export class Tree {
  /** `on` has toggle(path, open), more(path) and pick(path). */
  constructor(on) {
    this.on = on;
    this.rows = new Map(); // path -> Row; a fold's begins with "+"
    this.shown = [];
    this.picked = null;
    this.element = el("div.tree", { role: "tree", "aria-label": "Actors", onkeydown: (event) => this.#key(event) });
    this.timer = setInterval(() => this.#tick(), 1000);
  }

  /** `rows` as `Forest.rows` gives them. */
  show(rows, forest) {
    const focused = this.element.contains(document.activeElement);
    this.shown = rows;
    this.picked = rows.length > 0 ? forest.visible(this.picked ?? rows[0].node.path, rows) : null;
    const views = new Map();
    for (const row of rows) {
      const key = row.fold === undefined ? row.node.path : `+${row.fold}`;
      const view = this.rows.get(key) ?? this.#makeRow(row);
      view.show(row, { picked: row.node?.path === this.picked });
      views.set(key, view);
    }
    this.rows = views;
    arrange(this.element, [...views.values()].map((view) => view.element));
    if (focused && !this.element.contains(document.activeElement)) this.#focus();
  }

  #makeRow({ fold, node }) {
    if (fold !== undefined) return new Fold(fold, (path) => this.on.more(path));
    return new Row(node.path, { pick: (path) => this.pick(path), toggle: (path) => this.#toggle(path) });
  }

  flash(path) {
    this.rows.get(path)?.flash();
  }

  pick(path, { focus = true } = {}) {
    this.picked = path;
    for (const [key, view] of this.rows) {
      if (!(view instanceof Row)) continue;
      view.element.setAttribute("aria-selected", String(key === path));
      view.element.tabIndex = key === path ? 0 : -1;
    }
    if (focus) this.#focus();
    this.on.pick(path);
  }

  #focus() {
    const row = this.rows.get(this.picked);
    row?.element.focus({ preventScroll: true });
    row?.element.scrollIntoView({ block: "nearest" });
  }

  #toggle(path) {
    const row = this.shown.find((each) => each.node?.path === path);
    if (row && row.node.child_count > 0) this.on.toggle(path, !row.open);
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest(".fold")) return;
    const nodes = this.shown.filter((row) => row.node);
    const at = nodes.findIndex((row) => row.node.path === this.picked);
    const row = nodes[at];
    if (!row) return;
    const go = (to) => to && this.pick(to.node.path);
    const done = {
      ArrowDown: () => go(nodes[at + 1]),
      ArrowUp: () => go(nodes[at - 1]),
      Home: () => go(nodes[0]),
      End: () => go(nodes.at(-1)),
      ArrowRight: () => (row.open ? go(nodes[at + 1]?.level > row.level && nodes[at + 1]) : this.#toggle(row.node.path)),
      ArrowLeft: () => (row.open ? this.#toggle(row.node.path) : go(nodes.slice(0, at).findLast((each) => each.level < row.level))),
      Enter: () => this.#toggle(row.node.path),
      " ": () => this.#toggle(row.node.path),
    }[event.key];
    if (!done) return;
    event.preventDefault();
    done();
  }

  #tick() {
    const now = Date.now();
    for (const view of this.rows.values()) view.tick?.(now);
  }
}
