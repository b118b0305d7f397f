/** One line of the tree. */

import { el, setText } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { STATES, age, count, nameOf, queued } from "./labels.js";

const FLASH_MS = 2600;

export class Row {
  /** `on` has pick(path) and toggle(path). */
  constructor(path, on) {
    this.path = path;
    this.twist = el("span.twist", { "aria-hidden": "true", onclick: (event) => { event.stopPropagation(); on.toggle(path); } }, icon("chevron"));
    this.mark = el("span.mark", { "aria-hidden": "true" });
    this.state = el("span.state");
    this.kind = el("span.kind");
    this.notes = el("span.notes");
    this.age = el("span.age");
    this.element = el("div.row", { role: "treeitem", tabIndex: -1, title: path, "data-path": path, onclick: () => on.pick(path), ondblclick: () => on.toggle(path) },
      this.twist, this.mark, el("span.name", {}, nameOf(path)), this.kind, this.state, this.notes, this.age);
  }

  show({ node, level, at, of, open }, { picked }) {
    const { element } = this;
    element.style.setProperty("--level", String(level - 1));
    element.dataset.state = node.state;
    const attributes = {
      "aria-level": level, "aria-posinset": at, "aria-setsize": of, "aria-selected": picked,
      "aria-expanded": node.child_count > 0 ? open : null,
    };
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null) element.removeAttribute(name);
      else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
    }
    element.tabIndex = picked ? 0 : -1;
    element.classList.toggle("has-children", node.child_count > 0);
    setText(this.kind, node.type);
    setText(this.state, STATES[node.state] ?? node.state);
    setText(this.notes, notes(node).join(" · "));
    this.since = node.since;
    this.tick(Date.now());
  }

  tick(now) {
    setText(this.age, age(now - this.since));
  }

  /** Marks that this actor, or a hidden one below it, was restarted. */
  flash() {
    this.element.classList.remove("is-flashing");
    void this.element.offsetWidth; // so that the same animation begins once more
    this.element.classList.add("is-flashing");
    clearTimeout(this.flashing);
    this.flashing = setTimeout(() => this.element.classList.remove("is-flashing"), FLASH_MS);
  }
}

function notes(node) {
  const waiting = queued(node);
  return [
    node.child_count > 0 && count(node.child_count, "child", "children"),
    node.restarts > 0 && count(node.restarts, "restart"),
    node.resting_below > 0 && `${node.resting_below.toLocaleString("en")} restarting below`,
    waiting > 0 && `${waiting.toLocaleString("en")} queued`,
  ].filter(Boolean);
}

/** The line in place of children that are not shown. */
export class Fold {
  constructor(path, onMore) {
    this.words = el("span");
    this.more = el("button.link", { type: "button", onclick: () => onMore(path) }, "Show more");
    this.element = el("div.fold", { role: "none" }, this.words, this.more);
  }

  show({ hidden, level, full }) {
    this.element.style.setProperty("--level", String(level - 1));
    setText(this.words, `${hidden.toLocaleString("en")} more${full ? ": filter by path to find one" : ""}`);
    this.more.hidden = full;
  }
}
