/** The switch between versions that stand beside each other: ‹ 1/2 ›. */

import { el, setText } from "./dom.js";
import { number, t } from "../client/messages.js";
import { icon } from "./icons.js";

export class Versions {
  /** `what` names them ("message" or "answer"); `onPick(turn)` shows another one. */
  constructor(what, onPick) {
    Object.assign(this, { turns: [], at: 0 });
    const step = (name, word, by) => el("button.quiet.icon-button", {
      type: "button", title: word, "aria-label": word, "data-step": String(by), onclick: () => onPick(this.turns[this.at + by], by),
    }, icon(name));
    this.before = step("left", t(`versions.previous_${what}`), -1);
    this.after = step("right", t(`versions.next_${what}`), 1);
    this.place = el("span.versions-place");
    this.element = el("span.versions", { role: "group", "aria-label": t(`versions.which_${what}`), hidden: true }, this.before, this.place, this.after);
  }

  /** Shows that place `at` of `turns` is the one to be seen. */
  show(turns, at) {
    Object.assign(this, { turns, at });
    this.element.hidden = turns.length < 2;
    setText(this.place, `${number(at + 1)}/${number(turns.length)}`);
    this.before.disabled = at <= 0;
    this.after.disabled = at >= turns.length - 1;
  }

  /** Puts the focus where it was on the switch of another version: on the same side if that can be used. */
  focus(by) {
    const [first, second] = by < 0 ? [this.before, this.after] : [this.after, this.before];
    (first.disabled ? second : first).focus();
  }
}
