/** When a message was sent, or an answer ended: the time, with the whole date to be hovered. */

import { el, setText } from "./dom.js";
import { dateTime } from "../client/messages.js";

const TIME = Object.freeze({ hour: "numeric", minute: "2-digit" });
const DAY = Object.freeze({ day: "numeric", month: "short", ...TIME });
const WHOLE = Object.freeze({ dateStyle: "full", timeStyle: "medium" });
const DAY_MS = 86_400_000;

export class MomentView {
  constructor() {
    this.element = el("time.moment", { hidden: true });
    this.at = null;
  }

  /** `at` in ms, null if it is not known. */
  show(at) {
    if (at === this.at) return;
    this.at = at;
    this.element.hidden = at === null;
    if (at === null) return;
    this.element.dateTime = new Date(at).toISOString();
    this.element.title = dateTime(at, WHOLE);
    setText(this.element, dateTime(at, Date.now() - at < DAY_MS ? TIME : DAY));
  }
}
