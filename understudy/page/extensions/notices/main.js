/** Adds notices to the chat page: the inbox over all chats, its marks in the side bar, and browser notices. See `extensions.js`. */

import { number, learn, t } from "../../client/messages.js";
import { REAL_TIMERS, Timers } from "../../client/listeners_and_timers.js";
import { el, setText } from "../../elements/dom.js";
import { Attention, Notify } from "./notify.js";
import { InboxFeed } from "./feed.js";
import { markOf, newItems, waitingCount } from "./inbox.js";
import { MESSAGES } from "./messages/page.js";
import { InboxView } from "./view.js";

export function extend(page) {
  learn(MESSAGES);
  const { chat, chat: { client } } = page;
  const badge = el("span.badge", { "aria-hidden": "true", hidden: true });
  const attention = new Attention();
  const notify = new Notify({ storage: client.storage, open: (id) => chat.open(id) });
  const feed = new InboxFeed({
    ask: page.ask, command: (command) => chat.api.command(command), timers: new Timers(REAL_TIMERS), isVisible,
    watch: (threads) => client.connection.online && client.subscriptions.watch(threads), onChange: (state, before) => changed(before),
  });
  const view = new InboxView(feed, page, () => notify.element());

  /** The open chat, in this state, stands on the screen. */
  const shown = (state) => {
    if (state && isVisible()) feed.seen(state.threadId, state.seq);
  };

  const changed = (before) => {
    shown(client.state(chat.current));
    if (feed.loaded) notify.tell(newItems(before, feed.state));
    const waiting = waitingCount(feed.state);
    badge.hidden = waiting === 0;
    setText(badge, waiting > 99 ? `${number(99)}+` : number(waiting));
    attention.waiting(waiting);
    view.update();
    chat.marked();
  };

  page.add("elements", { place: "side", element: view.strip });
  page.add("elements", { place: "drawer", element: badge });
  page.add("elements", { place: "top", element: view.button });
  page.add("marks", (threadId) => markOf(feed.state, threadId));
  page.add("titles", (title) => attention.title(title));
  page.add("settings", { title: t("notices.title"), element: () => notify.switches() });
  page.add("shown", shown);
  client.on("events", (events) => events.forEach((event) => feed.take(event)));
  client.on("foreign", (event) => feed.take(event));
  client.on("welcome", () => feed.begin());
  client.on("user", () => feed.clear());
  document.addEventListener("visibilitychange", () => isVisible() && feed.refresh());
  feed.refresh();
}

function isVisible() {
  return document.visibilityState === "visible";
}
