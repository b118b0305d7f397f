/** One turn on the screen: what the user said, what was done about it, and the answer. Updated part by part. */

import { AnswerView } from "./answer.js";
import { monogram } from "./agents.js";
import { ChartView } from "./chart.js";
import { LIVE } from "./conversation.js";
import { copyButton } from "./copy.js";
import { el, setText } from "./dom.js";
import { faultCard } from "./fault.js";
import { icon } from "./icons.js";
import { WorkView } from "./work.js";
import { findings } from "./words.js";

const NOT_YET = new Set(["waiting", "sent", "rejected"]);

export class TurnView {
  /** `page` is {agents, clock, files, onRetry(turn), onWithdraw(turn)}. */
  constructor(page) {
    this.page = page;
    this.turn = null;
    this.said = el("div.said");
    this.who = el("header.who");
    this.work = new WorkView(page);
    this.answer = new AnswerView();
    this.chartBox = el("div");
    this.notices = el("div.notices");
    this.faultBox = el("div");
    this.foot = el("footer.turn-foot", { hidden: true }, copyButton(() => this.#plainText(), "Copy answer"), this.stopped = el("span.hint"));
    this.reply = el("div.reply", {}, this.who, this.work.element, this.answer.element, this.chartBox, this.notices, this.faultBox, this.foot);
    this.element = el("article.turn", {}, this.said, this.reply);
  }

  update(turn) {
    const before = this.turn;
    if (turn === before) return;
    this.turn = turn;
    this.element.dataset.status = turn.status;
    if (saidKey(turn) !== (before && saidKey(before)) || turn.error !== before?.error || turn.steps !== before?.steps) this.#showSaid(turn);
    this.reply.hidden = NOT_YET.has(turn.status);
    if (this.reply.hidden) return;
    this.#showWho(turn);
    this.work.update(turn);
    this.answer.update(turn);
    this.#showChart(turn);
    this.#showEnd(turn, before);
  }

  destroy() {
    this.chart?.destroy();
    this.element.remove();
  }

  #showSaid(turn) {
    const files = turn.references.map((reference) => this.page.files.chip(reference));
    const removed = turn.steps.filter((step) => step.kind === "sanitized" && step.direction === "input").map(sanitizedNotice);
    this.said.hidden = turn.content === "" && files.length === 0;
    this.said.replaceChildren(
      files.length > 0 ? el("div.said-files", {}, files) : "",
      el(`div.bubble.is-${turn.status}`, { dir: "auto" }, turn.content),
      this.#delivery(turn) ?? "",
      ...removed,
    );
  }

  #delivery(turn) {
    if (turn.status === "waiting") {
      return el("p.delivery", {}, icon("clock"), "Waiting to be sent",
        el("button.link", { type: "button", onclick: () => this.page.onWithdraw(turn) }, "Take back"));
    }
    if (turn.status === "sent") return el("p.delivery.is-sent", {}, "Sending");
    return turn.status === "rejected" ? faultCard(turn.error, () => this.page.onRetry(turn)) : null;
  }

  #showWho(turn) {
    const agent = turn.steps.findLast((step) => step.kind === "agent") ?? turn;
    const key = `${agent.agentType}/${agent.pillar}`;
    if (key === this.whoKey) return;
    this.whoKey = key;
    const title = this.page.agents.title(agent.agentType, agent.pillar);
    this.who.replaceChildren(monogram(title, agent.agentType, agent.pillar), el("span", {}, title));
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
      const removed = turn.steps.filter((step) => step.kind === "sanitized" && step.direction !== "input");
      this.notices.replaceChildren(...removed.map(sanitizedNotice));
    }
    if (turn.error !== before?.error || turn.status !== before?.status) {
      const shown = turn.error && turn.status === "failed";
      this.faultBox.replaceChildren(...(shown ? [faultCard(turn.error, () => this.page.onRetry(turn))] : []));
    }
    setText(this.stopped, turn.status === "cancelled" ? "Stopped before it was finished." : "");
    this.foot.hidden = LIVE.has(turn.status) || (this.#plainText() === "" && turn.status !== "cancelled");
    this.foot.firstElementChild.hidden = this.#plainText() === "";
  }

  #plainText() {
    return this.turn?.final?.message || this.turn?.stream.text || "";
  }
}

function saidKey(turn) {
  return `${NOT_YET.has(turn.status) ? turn.status : "accepted"} ${turn.content}`;
}

function sanitizedNotice(step) {
  const found = findings(step.counts);
  const where = step.direction === "input" ? "your message" : "this answer";
  const text = found ? `Taken out of ${where}: ${found}.` : `Checked: nothing had to be taken out of ${where}.`;
  return el("p.notice", {}, icon("shield"), text);
}
