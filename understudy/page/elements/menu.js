/** A menu that a button opens: on top of everything, closed by Escape, by a choice, or by a click elsewhere. */

import { el, freshId } from "./dom.js";
import { icon } from "./icons.js";

const MARGIN = 8; // px to the edges of the window, and
const GAP = 4; // px to the button

export class Menu {
  /**
   * `button` opens it; `items()` gives what it offers when it opens: {label, icon, act, danger, checked}, or an element
   * that is shown as it is. `label` is the menu's name.
   */
  constructor(button, label, items) {
    Object.assign(this, { button, items });
    const id = freshId("menu");
    this.element = el("div.menu.popup-menu", { id, role: "menu", "aria-label": label, popover: "auto", tabIndex: -1 });
    button.setAttribute("aria-haspopup", "menu");
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      if (this.open) this.close();
      else this.show();
    });
    // A click on the button closes the menu before its own event comes, which must not open it again.
    button.addEventListener("pointerdown", () => { this.open = this.element.isConnected && this.element.matches(":popover-open"); });
    button.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      event.preventDefault();
      event.stopPropagation();
      this.show();
    });
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("toggle", (event) => this.#toggled(event.newState === "open"));
    this.element.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !this.element.contains(event.relatedTarget)) this.close(false);
    });
  }

  show() {
    this.#fill();
    // Who reads by landmarks finds the menu where its button is.
    if (!this.element.isConnected) (this.button.closest("dialog, aside, main") ?? document.body).append(this.element);
    this.element.showPopover();
    this.#place();
    this.#stops[0]?.focus();
  }

  /** Shows what it offers now, if it is open. */
  update() {
    if (!this.open) return;
    const at = document.activeElement?.textContent;
    this.#fill();
    this.#place();
    (this.#stops.find(({ textContent }) => textContent === at) ?? this.#stops[0])?.focus();
  }

  #fill() {
    this.element.replaceChildren(...this.items().map((item) => (item instanceof Element ? item : this.#item(item))));
  }

  close(refocus = true) {
    this.refocus = refocus;
    if (this.element.isConnected) this.element.hidePopover();
  }

  #toggled(open) {
    this.open = open;
    this.button.setAttribute("aria-expanded", String(open));
    if (open) {
      this.refocus = true;
      return;
    }
    if (this.refocus && (document.activeElement === document.body || this.element.contains(document.activeElement))) this.button.focus();
    this.element.remove();
  }

  /** Below the button, or above it where there is no room; always inside the window. */
  #place() {
    const { style } = this.element;
    const at = this.button.getBoundingClientRect();
    const { width, height } = this.element.getBoundingClientRect();
    const rtl = getComputedStyle(this.button).direction === "rtl";
    const start = rtl ? at.right - width : at.left;
    const fits = start >= MARGIN && start + width <= innerWidth - MARGIN;
    const wanted = fits ? start : rtl ? at.left : at.right - width;
    const below = at.bottom + GAP + height <= innerHeight - MARGIN;
    style.left = `${Math.max(MARGIN, Math.min(wanted, innerWidth - MARGIN - width))}px`;
    style.top = `${Math.max(MARGIN, below ? at.bottom + GAP : at.top - GAP - height)}px`;
  }

  #item({ label, icon: name, act, danger = false, checked = null }) {
    return el(`button.menu-item${danger ? ".is-danger" : ""}`, {
      type: "button", role: checked === null ? "menuitem" : "menuitemcheckbox", "aria-checked": checked === null ? null : String(checked), tabIndex: -1,
      onclick: () => {
        this.close();
        act();
      },
    }, icon(name), el("span", {}, label));
  }

  get #stops() {
    return [...this.element.querySelectorAll('[role^="menuitem"]')];
  }

  #key(event) {
    const stops = this.#stops;
    const at = stops.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: stops.length - 1 }[event.key];
    if (to !== undefined) stops[(to + stops.length) % stops.length]?.focus();
    else if (event.key === "Tab") this.close();
    else if (event.key === "Escape") this.close();
    else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey && event.key !== " ") this.#type(event.key, stops, at);
    else return;
    if (event.key !== "Tab") event.preventDefault();
    event.stopPropagation();
  }

  /** A letter leads to the next item that begins with it. */
  #type(letter, stops, at) {
    const begins = (stop) => stop.textContent.trim().toLowerCase().startsWith(letter.toLowerCase());
    ([...stops.slice(at + 1), ...stops.slice(0, at + 1)].find(begins))?.focus();
  }
}
