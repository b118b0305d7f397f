/** The inbox: what waits for the user over all chats, answered from here; what runs, what is unread. */

import { countsOf, questionOf, stepOf, waitingCount } from "../client/inbox.js";
import { dateTime, number, t } from "../client/messages.js";
import { isAutomatic } from "../client/ids.js";
import { ApprovalView } from "./approval.js";
import { dialogHead } from "./dialog.js";
import { arrange, el, freshId, setText } from "./dom.js";
import { icon } from "./icons.js";
import { QuestionView } from "./question.js";

const LISTS = Object.freeze(["needs_you", "running", "unread"]);
const WHEN = Object.freeze({ dateStyle: "medium", timeStyle: "short" });

export class InboxView {
  /**
   * `feed` is the InboxFeed. `page` is {clock, agents, open(threadId), onSignIn(server, questionId), onDisallow(tool, threadId),
   * onStop(runId), fault(error), moreSections()}: the last one gives sections that are shown below, {title, none, read()}, where
   * `read()` resolves to rows {picture, title, words}. `foot` is shown at the end of the dialog.
   */
  constructor(feed, page, foot = null) {
    Object.assign(this, { feed, page, foot, cards: new Map(), rows: new Map(), dialog: null });
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
    if (this.dialog) this.#fill(state, counts);
  }

  /** Opens the inbox, at one of its lists. */
  show(name = "needs_you") {
    if (this.dialog) return;
    const id = freshId("inbox");
    this.sections = new Map(LISTS.map((list) => [list, this.#section({ title: t(`inbox.${list}`), none: t(`inbox.none_${list}`) }, list === "unread")]));
    this.dialog = el("dialog.dialog.inbox", { "aria-labelledby": id, onclose: () => this.#closed() },
      dialogHead(id, t("inbox.title")),
      [...this.sections.values()].map(({ element }) => element), this.page.moreSections().map((more) => this.#more(more)), this.foot?.());
    this.update();
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.feed.refresh();
    const { element, title } = this.sections.get(name);
    title.focus({ preventScroll: true });
    if (name !== "needs_you") element.scrollIntoView({ block: "start" });
  }

  #section({ title: name, none: nothing }, readable = false) {
    const [id, count, list] = [freshId("inbox"), el("span.inbox-number"), el("ul.inbox-list")];
    const title = el("h3", { id, tabIndex: -1 }, name, " ", count);
    const none = el("p.hint", {}, nothing);
    const all = readable ? el("button.link.inbox-all", { type: "button", onclick: () => this.#readAll() }, t("inbox.read_all")) : null;
    return { element: el("section.inbox-section", { "aria-labelledby": id }, el("div.inbox-head", {}, title, all), none, list), title, count, none, list, all };
  }

  /** A section of an extension, which is read once when the inbox is opened. */
  #more({ title, none, read }) {
    const section = this.#section({ title, none });
    const row = ({ picture, title: name, words }) => el("li.inbox-row", {}, el("div.inbox-text", {},
      el("p.inbox-from", {}, icon(picture), el("strong", { dir: "auto" }, name)), el("p.inbox-what", {}, words)));
    section.element.hidden = true;
    read().then((rows) => this.#list(section, rows.length, rows.map(row)), ({ message }) => setText(section.none, message))
      .finally(() => { section.element.hidden = false; });
    return section.element;
  }

  #fill(state, counts) {
    const asked = [...state.needsYou, ...state.settled].sort((one, other) => one.asked_at - other.asked_at);
    const shown = {
      needs_you: asked.map((item) => this.#card(item)),
      running: state.running.map((run) => this.#running(run)),
      unread: state.unread.map((one) => this.#row(`unread:${one.thread_id}`, one, `${this.#agent(one)} · ${t(`inbox.ended_${one.status === "failed" || one.status === "interrupted" ? "failed" : "done"}`)} · ${when(one.updated_at)}`)),
    };
    for (const [name, section] of this.sections) this.#list(section, counts[name], shown[name]);
    this.sections.get("unread").all.hidden = counts.unread === 0;
  }

  #list({ list, none, count }, total, elements) {
    setText(count, total > 0 ? number(total) : "");
    none.hidden = elements.length > 0;
    arrange(list, elements);
  }

  /** The card of a question: the view of the turn, under the name of its chat. */
  #card(item) {
    let card = this.cards.get(item.id);
    if (!card) {
      card = this.#newCard(item);
      this.cards.set(item.id, card);
    }
    if (card.item !== item) {
      card.item = item;
      setText(card.title, item.title || t("chat.new"));
      setText(card.agent, this.#agent(item));
      if (item.kind === "approval") card.view.update(stepOf(item));
      else card.view.update(questionOf(item), { parameters: item.parameters ?? {} });
    }
    return card.element;
  }

  #newCard(item) {
    const { feed, page } = this;
    const title = el("button.link.inbox-chat", { type: "button", dir: "auto", onclick: () => this.#open(item.thread_id) });
    const agent = el("span.inbox-agent");
    const act = {
      clock: page.clock, onAnswer: (id, answer) => feed.answer(id, answer), onSignIn: page.onSignIn,
      onDisallow: (tool) => page.onDisallow(tool, item.thread_id),
      onApprove: (id, decision, note, options) => feed.decide(id, decision, note, options).catch((fault) => page.fault(fault)),
      onApproveChanged: (id, parameters, note, options) => feed.decide(id, "allow", note, { ...options, parameters }),
    };
    const view = item.kind === "approval" ? new ApprovalView(act) : new QuestionView(act);
    return { item: null, title, agent, view, element: el("li.inbox-card", {}, el("p.inbox-from", {}, title, agent), view.element) };
  }

  #running(run) {
    const words = run.status === "queued" ? t("inbox.queued") : run.doing || t("chat.working");
    return this.#row(`run:${run.run_id}`, run, `${this.#agent(run)} · ${words}`, (row) => {
      row.time = el("span.inbox-time");
      this.page.clock.count(row.time, run.started_at * 1000);
      return [row.time, el("button.secondary.inbox-stop", { type: "button", "aria-label": t("action.of", { action: t("composer.stop"), title: run.title }), onclick: ({ currentTarget }) => {
        currentTarget.disabled = true;
        this.page.onStop(run.run_id);
      } }, t("composer.stop"))];
    });
  }

  /** A line of a list: what opens its chat, words below, and what `more(row)` gives once. */
  #row(key, { title, thread_id: threadId }, words, more = () => []) {
    let row = this.rows.get(key);
    if (!row) {
      row = { what: el("p.inbox-what") };
      const by = isAutomatic(threadId) ? icon("clock") : null;
      row.title = el("button.link.inbox-chat", { type: "button", dir: "auto", onclick: () => this.#open(threadId) });
      row.element = el("li.inbox-row", {}, el("div.inbox-text", {}, el("p.inbox-from", {}, by, row.title), row.what), more(row));
      this.rows.set(key, row);
    }
    setText(row.title, title || t("chat.new"));
    setText(row.what, words);
    return row.element;
  }

  #agent({ agent_type: type, pillar, agent }) {
    return this.page.agents.find(type, pillar ?? null)?.title || agent;
  }

  #open(threadId) {
    this.dialog.close();
    this.page.open(threadId);
  }

  async #readAll() {
    try {
      await this.feed.readAll();
      this.sections?.get("unread").title.focus();
    } catch (fault) {
      this.page.fault(fault);
    }
  }

  #closed() {
    this.dialog.remove();
    Object.assign(this, { dialog: null, sections: null });
    this.cards.clear();
    this.rows.clear();
    this.feed.tidy();
  }
}

function when(at) {
  return dateTime(at * 1000, WHEN);
}
