/** The inbox of the page: its feed, its views, and what calls the user to them. */

import { markOf, newItems, waitingCount } from "../client/inbox.js";
import { InboxFeed } from "../client/inbox_feed.js";
import { REAL_TIMERS, Timers } from "../client/timers.js";
import { Attention } from "./attention.js";
import { number } from "../client/messages.js";
import { el, setText } from "./dom.js";
import { InboxView } from "./inbox.js";
import { Notify } from "./notify.js";

export class Inbox {
  /**
   * `client` is the protocol client. `page` is what InboxView takes, with `current()`, the state of the open chat, and
   * `onMarks()`, called when the marks of chats have changed.
   */
  constructor(client, page) {
    this.page = page;
    this.attention = new Attention();
    this.badge = el("span.badge", { "aria-hidden": "true", hidden: true });
    this.feed = new InboxFeed({
      api: client.api, timers: new Timers(REAL_TIMERS), isVisible, watch: (threads) => client.connection.online && client.subscriptions.watch(threads),
      onChange: (state, before) => this.#changed(before),
    });
    this.notify = new Notify({ storage: client.storage, open: page.open });
    this.view = new InboxView(this.feed, page, () => this.notify.element());
    client.on("events", (events) => events.forEach((event) => this.feed.take(event)));
    client.on("foreign", (event) => this.feed.take(event));
    client.on("welcome", () => this.feed.refresh());
    client.on("user", () => this.feed.clear());
    document.addEventListener("visibilitychange", () => isVisible() && this.feed.refresh());
  }

  /** The mark of a chat; `live`: it is known to work. */
  mark(threadId, live) {
    const mark = markOf(this.feed.state, threadId);
    return live && mark !== "needs_you" ? "running" : mark;
  }

  /** The open chat stands on the screen. */
  shown() {
    const state = this.page.current();
    if (state && isVisible()) this.feed.seen(state.threadId, state.seq);
  }

  #changed(before) {
    this.shown();
    if (this.feed.loaded) this.notify.tell(newItems(before, this.feed.state));
    const waiting = waitingCount(this.feed.state);
    this.badge.hidden = waiting === 0;
    setText(this.badge, waiting > 99 ? `${number(99)}+` : number(waiting));
    this.attention.waiting(waiting);
    this.view.update();
    this.page.onMarks();
  }
}

function isVisible() {
  return document.visibilityState === "visible";
}
