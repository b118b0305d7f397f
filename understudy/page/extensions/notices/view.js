/** The button of the inbox, with the number of questions, runs and unread answers. The dialog is loaded when it is first opened. */

import { countsOf, waitingCount } from "./inbox.js";
import { number, t } from "../../client/messages.js";
import { el, setText } from "../../elements/dom.js";
import { icon } from "../../elements/icons.js";

export const LISTS = Object.freeze(["needs_you", "running", "unread"]);

export class InboxView {
  /**
   * `feed` is the InboxFeed, `page` that of `extensions.js`. Sections of extensions, {title, none, read()}, are shown below, where
   * `read()` resolves to rows {picture, title, words}; `foot()` makes the end of the dialog.
   */
  constructor(feed, page, foot) {
    Object.assign(this, { feed, dialog: null });
    this.use = page.lazy(async () => {
      const [{ InboxDialog }] = await Promise.all([import("./dialog.js"), page.addStyle(new URL("./dialog.css", import.meta.url))]);
      return this.dialog = new InboxDialog(feed, page, foot);
    });
    this.tabs = new Map(LISTS.map((name) => [name, el("span.inbox-count", {}, "0")]));
    this.strip = el("div.inbox-strip", { role: "group", "aria-label": t("inbox.title") }, LISTS.map((name) => el("button.inbox-tab", {
      type: "button", "aria-haspopup": "dialog", "data-list": name, onclick: () => this.show(name),
    }, el("span.inbox-word", {}, t(`inbox.${name}`)), " ", this.tabs.get(name))));
    this.badge = el("span.badge", { hidden: true });
    this.button = el("button.quiet.icon-button.inbox-button", { type: "button", "aria-haspopup": "dialog", onclick: () => this.show() }, icon("inbox"), this.badge);
    this.update();
  }

  /** Shows the state of the feed: the counts, and the dialog if it is open. */
  update() {
    const { state } = this.feed;
    const counts = countsOf(state);
    for (const [name, count] of this.tabs) {
      setText(count, number(counts[name]));
      count.parentElement.hidden = counts[name] === 0;
    }
    this.strip.hidden = LISTS.every((name) => counts[name] === 0);
    const waiting = waitingCount(state);
    this.badge.hidden = waiting === 0;
    setText(this.badge, waiting > 99 ? `${number(99)}+` : number(waiting));
    this.button.setAttribute("aria-label", waiting === 0 ? t("inbox.title") : t("inbox.title_count", { count: waiting }));
    this.button.title = this.button.getAttribute("aria-label");
    this.dialog?.update();
  }

  /** Opens the inbox, at one of its lists. */
  show(name = "needs_you") {
    return this.use((dialog) => dialog.show(name));
  }
}
