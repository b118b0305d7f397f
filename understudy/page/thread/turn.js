/** One turn on the screen: the user's message, the run's card, and the answer. Updated part by part. */

import { AnswerView } from "../answer/answer.js";
import { monogram } from "../composer/agents.js";
import { LazyChart } from "../charts/lazy_chart.js";
import { ApprovalView } from "../approvals/approval.js";
import { QuestionView } from "../approvals/question.js";
import { isPending, isWidgetCall } from "../client/threads/turns.js";
import { t } from "../client/messages.js";
import { arrange, el, setText } from "../elements/dom.js";
import { CutView, NextStepsView } from "../answer/answer_end.js";
import { AnswerActionsView } from "../answer/answer_actions.js";
import { MadeFilesView } from "../files/made_files.js";
import { NoticesView } from "../answer/redactions.js";
import { UserMessageView } from "./user_message.js";
import { RunCardView } from "../run/run_card.js";

export class TurnView {
  /** `page` is {agents, clock, files} and what the views of its parts take. */
  constructor(page) {
    this.page = page;
    this.turn = null;
    this.message = new UserMessageView(page);
    this.agentHeader = el("header.who", { "aria-hidden": "true" });
    this.card = new RunCardView(page);
    this.approvals = new Map(); // call id -> ApprovalView
    this.questions = new Map(); // question id -> QuestionView
    this.approvalBox = el("div.approvals");
    this.answer = new AnswerView((id) => page.previews.pictureAddress(id));
    this.charts = [];
    this.chartBox = el("div");
    this.made = new MadeFilesView(page);
    this.parts = new AnswerParts(page);
    this.notices = new NoticesView();
    this.cut = new CutView(page);
    this.nextSteps = new NextStepsView((step) => page.onStep(this.turn, step));
    this.actions = new AnswerActionsView(page, () => this.#plainText());
    this.reply = el("div.reply", {}, this.agentHeader, this.card.element, this.approvalBox, this.answer.element, this.chartBox, this.parts.element, this.made.element, this.notices.element, this.cut.element, this.nextSteps.element, this.card.undo.element, this.actions.element);
    this.speaker = el("h2.offscreen");
    this.reply.prepend(this.speaker);
    this.element = el("div.turn", {}, el("h2.offscreen", {}, t("turn.you_said")), this.message.element, this.reply);
  }

  /** `siblings` is {messages, message, answers, answer} beside the turn; `rating` is what the user thinks of the answer. */
  update(turn, siblings, rating = null) {
    const before = this.turn;
    if (turn === before && this.#sameSiblings(siblings, rating)) return;
    this.turn = turn;
    this.siblings = { ...siblings, rating };
    this.element.dataset.status = turn.status;
    this.element.classList.toggle("is-widget-call", isWidgetCall(turn));
    this.message.update(turn, siblings);
    this.reply.hidden = isPending(turn);
    if (this.reply.hidden) return;
    this.#showAgent(turn);
    this.card.update(turn);
    this.#showApprovals(turn);
    this.answer.update(turn);
    this.#showCharts(turn);
    this.made.update(turn);
    this.parts.update(turn);
    this.#showEnd(turn, before);
    this.cut.update(turn, siblings.last);
    this.nextSteps.update(turn.final);
    this.actions.update(turn, siblings, rating);
    if (isWidgetCall(turn)) this.actions.element.hidden = true;
  }

  /** Forces a redraw: names of agents or files have changed. */
  stale() {
    Object.assign(this, { turn: null, agentShown: null });
    this.message.turn = null;
  }

  /** Puts the focus on the switch between versions: of the "message", or of the "answer". */
  focusVersions(what, by) {
    (what === "message" ? this.message : this.actions).versions.focus(by);
  }

  destroy() {
    for (const chart of this.charts) chart.destroy();
    this.made.destroy();
    this.parts.destroy();
    this.card.destroy();
    this.element.remove();
  }

  #sameSiblings(siblings, rating) {
    const { siblings: known } = this;
    return known.rating === rating && known.last === siblings.last && known.message === siblings.message && known.answer === siblings.answer
      && known.messages.length === siblings.messages.length && known.answers.length === siblings.answers.length;
  }

  #showAgent(turn) {
    const agent = turn.steps.findLast((step) => step.kind === "agent") ?? turn;
    const key = `${agent.agentType}/${agent.pillar}`;
    if (key === this.agentShown) return;
    this.agentShown = key;
    const title = this.page.agents.title(agent.agentType, agent.pillar);
    setText(this.speaker, t("turn.said", { who: title }));
    this.agentHeader.replaceChildren(monogram(title, agent.agentType, agent.pillar), el("h2.who-name", {}, title));
  }

  #showApprovals(turn) {
    const asked = turn.steps.filter((step) => step.approval);
    for (const step of asked) {
      if (!this.approvals.has(step.callId)) this.approvals.set(step.callId, new ApprovalView(this.page));
      this.approvals.get(step.callId).update(step);
    }
    for (const question of turn.questions) {
      if (!this.questions.has(question.id)) this.questions.set(question.id, new QuestionView(this.page));
      this.questions.get(question.id).update(question, turn.steps.find(({ kind, callId }) => kind === "tool" && callId === question.callId));
    }
    const questions = turn.questions.map(({ id }) => this.questions.get(id).element);
    arrange(this.approvalBox, [...asked.map((step) => this.approvals.get(step.callId).element), ...questions]);
  }

  #showCharts(turn) {
    if (turn.final === (this.charted ?? null)) return;
    this.charted = turn.final;
    for (const chart of this.charts) chart.destroy();
    this.charts = visualizations(turn.final).map((visualization) => new LazyChart(visualization, this.page.panel));
    this.chartBox.replaceChildren(...this.charts.map(({ element }) => element));
  }

  #showEnd(turn, before) {
    if (turn.steps !== before?.steps) {
      this.notices.update(turn.steps.filter((step) => step.kind === "sanitized" && step.direction !== "inbound"));
    }
  }

  #plainText() {
    const { final, stream } = this.turn;
    return final?.message || stream.text;
  }
}

/** All charts of an answer; the history has only the last. */
function visualizations(final) {
  const several = final?.data?.visualizations;
  return Array.isArray(several) && several.length > 0 ? several : final?.visualization ? [final.visualization] : [];
}

// Views of extensions below an answer.

export class AnswerParts {
  /** `page` is what the parts take, and `answerParts()`, those of "answers" in `extensions.js`. */
  constructor(page) {
    Object.assign(this, { page, ended: false });
    this.views = new Map(); // part -> its view, null while that is loaded
    this.element = el("div");
  }

  update(turn) {
    this.turn = turn;
    for (const view of this.views.values()) view?.update(turn);
    for (const part of this.page.answerParts()) if (!this.views.has(part) && part.fits(turn)) this.#add(part);
  }

  /** Whether one must not be forgotten when its turn is out of sight. */
  get inUse() {
    return [...this.views.values()].some((view) => view?.inUse);
  }

  destroy() {
    this.ended = true;
    for (const view of this.views.values()) view?.destroy();
  }

  async #add(part) {
    this.views.set(part, null);
    try {
      const make = await part.load();
      if (this.ended) return;
      this.views.set(part, make(this.page));
      this.views.get(part).update(this.turn);
      arrange(this.element, [...this.views.values()].filter(Boolean).map(({ element }) => element));
    } catch (fault) {
      if (!(fault instanceof TypeError)) throw fault;
      this.views.delete(part); // no network: with the next update
    }
  }
}
