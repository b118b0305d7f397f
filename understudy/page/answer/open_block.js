/** Shows the open end of an answer that is being written. Only the difference to the former state is changed in the document. */

import { el } from "../elements/dom.js";
import { showProse } from "./prose.js";
import { markRedactions } from "./redactions.js";
import { tableAbove } from "../tables/tables.js";

export class OpenBlock {
  constructor() {
    this.clear();
  }

  /** `nodes` is a fragment of what the open end looks like. */
  show(nodes, redactions) {
    const fresh = el("div");
    this.outlined = [...this.outline];
    showProse(fresh, nodes, { grows: this.element.classList.contains("is-open"), outline: this.outlined });
    markRedactions(fresh, redactions);
    this.#joinRows(fresh);
    morph(this.element, fresh);
    this.element.hidden = this.element.firstElementChild === null;
  }

  /** Ends the open block: it looks like `nodes`, and does not change any more. Returns its element, another's from now on. */
  close(nodes, redactions) {
    const { element } = this;
    element.classList.remove("is-open");
    this.show(nodes, redactions);
    this.rows?.classList.remove("is-open");
    this.clear(this.outlined);
    return element;
  }

  /** Begins anew, below headings of the ranks of `outline`. */
  clear(outline = []) {
    this.element = el("div.block.is-open", { hidden: true });
    this.rows = null; // those in the table above, with which the block goes on
    this.outline = outline;
    this.outlined = outline; // with the headings of this block
  }

  /** Shows the rows of a table that goes on where it began, so that its columns stay as wide as they are. */
  #joinRows(fresh) {
    const table = fresh.firstElementChild?.querySelector("table.continued");
    const above = table && tableAbove(this.element);
    if (!above) {
      this.rows?.remove();
      this.rows = null;
      return;
    }
    const rows = el("tbody", {}, [...table.rows].filter((row) => row.parentElement !== table.tHead));
    fresh.firstElementChild.remove();
    if (this.rows) morph(this.rows, rows);
    else above.append(this.rows = rows);
    this.rows.classList.add("is-open");
  }
}

// Changing what an element shows into something alike, without replacing what stays: a selection, a scrolled box or a
// focused button in it is kept, and nothing flickers.

/** Gives `target` the children of `source`, which is used up. Elements with the same name and attributes stay. */
export function morph(target, source) {
  let old = target.firstChild;
  for (let fresh = source.firstChild; fresh !== null;) {
    const next = fresh.nextSibling;
    if (old === null) target.append(fresh);
    else {
      const after = old.nextSibling;
      if (alike(old, fresh)) blend(old, fresh);
      else old.replaceWith(fresh);
      old = after;
    }
    fresh = next;
  }
  while (old !== null) {
    const after = old.nextSibling;
    old.remove();
    old = after;
  }
}

function blend(old, fresh) {
  if (old.nodeType === Node.ELEMENT_NODE) morph(old, fresh);
  else if (old.data === fresh.data) return;
  else if (fresh.data.startsWith(old.data)) old.appendData(fresh.data.slice(old.data.length)); // a selection in it stays
  else old.data = fresh.data;
}

function alike(one, other) {
  if (one.nodeName !== other.nodeName) return false;
  if (one.nodeType !== Node.ELEMENT_NODE) return one.nodeType === Node.TEXT_NODE;
  const names = one.getAttributeNames();
  return names.length === other.getAttributeNames().length
    && names.every((name) => one.getAttribute(name) === other.getAttribute(name));
}
