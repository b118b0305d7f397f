/** One turn on the screen: what the user said, what was done about it, and the answer. Updated part by part. */

import { AnswerView } from "./answer.js";
import { monogram } from "./agents.js";
import { ChartView } from "./chart.js";
import { ApprovalView } from "./approval.js";
import { isPending } from "../client/conversation.js";
import { arrange, el } from "./dom.js";
import { errorCard } from "./error_card.js";
import { AnswerActionsView } from "./answer_actions.js";
import { NoticesView } from "./notices.js";
import { UserMessageView } from "./user_message.js";
import { RunStepsView } from "./run_steps.js";

export class TurnView {
  /** `page` is {agents, clock, files} and what the views of its parts take. */
  constructor(page) {
    this.page = page;
    this.turn = null;
    this.said = new UserMessageView(page);
    this.who = el("header.who");
    this.work = new RunStepsView(page);
    this.approvals = new Map(); // call id -> ApprovalView
    this.approvalBox = el("div.approvals");
    this.answer = new AnswerView();
    this.chartBox = el("div");
    this.notices = new NoticesView();
    this.faultBox = el("div");
    this.foot = new AnswerActionsView(page, () => this.#plainText());
    this.reply = el("div.reply", {}, this.who, this.work.element, this.approvalBox, this.answer.element, this.chartBox, this.notices.element, this.faultBox, this.foot.element);
    this.element = el("article.turn", {}, this.said.element, this.reply);
  }

  /** `around` is {messages, message, answers, answer} beside the turn; `rating` is what the user thinks of the answer. */
  update(turn, around, rating = null) {
    const before = this.turn;
    if (turn === before && this.#beside(around, rating)) return;
    this.turn = turn;
    this.around = { ...around, rating };
    this.element.dataset.status = turn.status;
    this.said.update(turn, around);
    this.reply.hidden = isPending(turn);
    if (this.reply.hidden) return;
    this.#showWho(turn);
    this.work.update(turn);
    this.#showApprovals(turn);
    this.answer.update(turn);
    this.#showChart(turn);
    this.#showEnd(turn, before);
    this.foot.update(turn, around, rating);
  }

  /** Forces a redraw: names of agents or files have changed. */
  stale() {
    Object.assign(this, { turn: null, whoKey: null });
    this.said.turn = null;
  }

  /** Puts the focus on the switch between versions: of what was "said", or of the "answer". */
  focusVersions(what, by) {
    (what === "said" ? this.said : this.foot).versions.focus(by);
  }

  destroy() {
    this.chart?.destroy();
    this.element.remove();
  }

  #beside(around, rating) {
    const { around: known } = this;
    return known.rating === rating && known.message === around.message && known.answer === around.answer
      && known.messages.length === around.messages.length && known.answers.length === around.answers.length;
  }

  #showWho(turn) {
    const agent = turn.steps.findLast((step) => step.kind === "agent") ?? turn;
    const key = `${agent.agentType}/${agent.pillar}`;
    if (key === this.whoKey) return;
    this.whoKey = key;
    const title = this.page.agents.title(agent.agentType, agent.pillar);
    this.who.replaceChildren(monogram(title, agent.agentType, agent.pillar), el("span", {}, title));
  }

  #showApprovals(turn) {
    const asked = turn.steps.filter((step) => step.approval);
    for (const step of asked) {
      if (!this.approvals.has(step.callId)) this.approvals.set(step.callId, new ApprovalView(this.page));
      this.approvals.get(step.callId).update(step);
    }
    arrange(this.approvalBox, asked.map((step) => this.approvals.get(step.callId).element));
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
      this.faultBox.replaceChildren(...(shown ? [errorCard(turn.error, () => this.page.onRetry(turn))] : []));
    }
  }

  #plainText() {
    return this.turn?.final?.message || this.turn?.stream.text || "";
  }
}
