/** One turn on the screen: what the user said, what was done about it, and the answer. Updated part by part. */

import { AnswerView } from "./answer.js";
import { monogram } from "./agents.js";
import { ChartView } from "./chart.js";
import { ApprovalView } from "./approval.js";
import { QuestionView } from "./question.js";
import { LIVE, isPending } from "../client/turns.js";
import { arrange, el } from "./dom.js";
import { errorCard } from "./error_card.js";
import { AnswerActionsView } from "./answer_actions.js";
import { NextStepsView } from "./next_steps.js";
import { NoticesView } from "./notices.js";
import { SteersView } from "./steers.js";
import { UndoView } from "./undo.js";
import { UserMessageView } from "./user_message.js";
import { RunStepsView } from "./run_steps.js";

export class TurnView {
  /** `page` is {agents, clock, files} and what the views of its parts take. */
  constructor(page) {
    this.page = page;
    this.turn = null;
    this.message = new UserMessageView(page);
    this.agentHeader = el("header.who");
    this.steps = new RunStepsView(page);
    this.approvals = new Map(); // call id -> ApprovalView
    this.questions = new Map(); // question id -> QuestionView
    this.steers = new SteersView(page);
    this.approvalBox = el("div.approvals");
    this.answer = new AnswerView();
    this.chartBox = el("div");
    this.notices = new NoticesView();
    this.errorBox = el("div");
    this.nextSteps = new NextStepsView((message) => page.onStep(this.turn, message));
    this.undo = new UndoView(page);
    this.actions = new AnswerActionsView(page, () => this.#plainText());
    this.reply = el("div.reply", {}, this.agentHeader, this.steps.element, this.steers.element, this.approvalBox, this.answer.element, this.chartBox, this.notices.element, this.errorBox, this.nextSteps.element, this.undo.element, this.actions.element);
    this.element = el("article.turn", {}, this.message.element, this.reply);
  }

  /** `siblings` is {messages, message, answers, answer} beside the turn; `rating` is what the user thinks of the answer. */
  update(turn, siblings, rating = null) {
    const before = this.turn;
    if (turn === before && this.#sameSiblings(siblings, rating)) return;
    this.turn = turn;
    this.siblings = { ...siblings, rating };
    this.element.dataset.status = turn.status;
    this.message.update(turn, siblings);
    this.reply.hidden = isPending(turn);
    if (this.reply.hidden) return;
    this.#showAgent(turn);
    this.steps.update(turn);
    this.steers.update(turn, LIVE.has(turn.status));
    this.#showApprovals(turn);
    this.answer.update(turn);
    this.#showChart(turn);
    this.#showEnd(turn, before);
    this.nextSteps.update(turn.final);
    this.undo.update(turn);
    this.actions.update(turn, siblings, rating);
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
    this.chart?.destroy();
    this.undo.destroy();
    this.element.remove();
  }

  #sameSiblings(siblings, rating) {
    const { siblings: known } = this;
    return known.rating === rating && known.message === siblings.message && known.answer === siblings.answer
      && known.messages.length === siblings.messages.length && known.answers.length === siblings.answers.length;
  }

  #showAgent(turn) {
    const agent = turn.steps.findLast((step) => step.kind === "agent") ?? turn;
    const key = `${agent.agentType}/${agent.pillar}`;
    if (key === this.agentShown) return;
    this.agentShown = key;
    const title = this.page.agents.title(agent.agentType, agent.pillar);
    this.agentHeader.replaceChildren(monogram(title, agent.agentType, agent.pillar), el("span", {}, title));
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

  #showChart(turn) {
    const visualization = turn.final?.visualization ?? null;
    if (visualization === (this.visualization ?? null)) return;
    this.visualization = visualization;
    this.chart?.destroy();
    this.chart = visualization ? new ChartView(visualization) : null;
    this.chartBox.replaceChildren(...(this.chart ? [this.chart.element] : []));
  }

  #showEnd(turn, before) {
    if (turn.steps !== before?.steps) {
      this.notices.update(turn.steps.filter((step) => step.kind === "sanitized" && step.direction !== "inbound"));
    }
    if (turn.error !== before?.error || turn.status !== before?.status) {
      const shown = turn.error && turn.status === "failed";
      this.errorBox.replaceChildren(...(shown ? [errorCard(turn.error, () => this.page.onRetry(turn))] : []));
    }
  }

  #plainText() {
    return this.turn?.final?.message || this.turn?.stream.text || "";
  }
}
