/** The dialog of the inbox: questions of all chats, which can be answered here, runs at work, and unread answers. */

import { isAutomatic } from "../../client/ids.js";
import { countsOf, questionOf, stepOf } from "./inbox.js";
import { dateTime, learn, number, t } from "../../client/messages.js";
import { ApprovalView } from "../../approvals/approval.js";
import { dialogHead, showUntilClosed } from "../../elements/dialog.js";
import { arrange, el, freshId, setText } from "../../elements/dom.js";
import { icon } from "../../elements/icons.js";
import { LISTS } from "./view.js";
import { QuestionView } from "../../approvals/question.js";
import { MESSAGES } from "./messages/dialog.js";

const WHEN = Object.freeze({ dateStyle: "medium", timeStyle: "short" });

export class InboxDialog {
  /** The parameters are those of `InboxView`. */
  constructor(feed, page, foot) {
    learn(MESSAGES);
    Object.assign(this, { feed, page, foot, cards: new Map(), rows: new Map(), dialog: null });
  }

  /** Opens the inbox, at one of its lists. */
  show(name) {
    if (this.dialog) return;
    const id = freshId("inbox");
    this.sections = new Map(LISTS.map((list) => [list, this.#section({ title: t(`inbox.${list}`), none: t(`inbox.none_${list}`) }, list === "unread")]));
    this.dialog = el("dialog.dialog.inbox", { "aria-labelledby": id },
      dialogHead(id, t("inbox.title")),
      [...this.sections.values()].map(({ element }) => element), this.page.sections().map((more) => this.#more(more)), this.foot());
    this.update();
    showUntilClosed(this.dialog).then(() => this.#closed());
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

  /** Shows the state of the feed, if the dialog is open. */
  update() {
    if (!this.dialog) return;
    const { state } = this.feed;
    const counts = countsOf(state);
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
    const { feed, page: { chat } } = this;
    const title = el("button.link.inbox-chat", { type: "button", dir: "auto", onclick: () => this.#open(item.thread_id) });
    const agent = el("span.inbox-agent");
    const act = {
      clock: chat.clock, agents: chat.agents, api: chat.api, threadId: () => item.thread_id, onAnswer: (id, answer) => feed.answer(id, answer), onSignIn: (...at) => chat.signInAt(...at),
      onApprove: (id, decision, note, options) => feed.decide(id, decision, note, options).catch((fault) => chat.fault(fault)),
      onApproveChanged: (id, parameters, note, options) => feed.decide(id, "allow", note, { ...options, parameters }),
    };
    const view = item.kind === "approval" ? new ApprovalView(act) : new QuestionView(act);
    return { item: null, title, agent, view, element: el("li.inbox-card", {}, el("p.inbox-from", {}, title, agent), view.element) };
  }

  #running(run) {
    const words = run.status === "queued" ? t("inbox.queued") : run.doing || t("chat.working");
    return this.#row(`run:${run.run_id}`, run, `${this.#agent(run)} · ${words}`, (row) => {
      row.time = el("span.inbox-time");
      this.page.chat.clock.count(row.time, run.started_at * 1000);
      return [row.time, el("button.secondary.inbox-stop", { type: "button", "aria-label": t("action.of", { action: t("composer.stop"), title: run.title }), onclick: ({ currentTarget }) => {
        currentTarget.disabled = true;
        this.page.chat.stop(run.run_id);
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
    return this.page.chat.agents.find(type, pillar ?? null)?.title || agent;
  }

  #open(threadId) {
    this.dialog.close();
    this.page.chat.open(threadId);
  }

  async #readAll() {
    try {
      await this.feed.readAll();
      this.sections?.get("unread").title.focus();
    } catch (fault) {
      this.page.chat.fault(fault);
    }
  }

  #closed() {
    Object.assign(this, { dialog: null, sections: null });
    this.cards.clear();
    this.rows.clear();
    this.feed.tidy();
  }
}

function when(at) {
  return dateTime(at * 1000, WHEN);
}
