/** A first visit: what the product is, sample data to try it with, and how to see an answer survive its server. */

import { ROOT } from "../client/address.js";
import { el, setText } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { t } from "../client/messages.js";

const FEW = 5; // chats up to which somebody is new here
const HERE = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/; // the server is on the machine of who looks
const SAMPLE = "sales.csv";

export class FirstVisit {
  /** `page` is {agents, account, sidebar, composer, guide, toasts, current}, the id of the open chat. */
  constructor(page) {
    this.page = page;
  }

  /** The agent for tables, if the server has it. */
  get analyst() {
    return this.page.agents.find("liaison", "insights");
  }

  /** {line, demos} for somebody new who talks to the guide; null for all others. */
  offer() {
    const { account, agents, sidebar, composer } = this.page;
    const story = agents.find("story", null);
    const known = sidebar.total === null || sidebar.total >= FEW;
    if (known || composer.picker.picked.agent_type !== "guide") return null;
    const demo = (text, detail, onclick) => el("li", {}, el("button.starter.demo", { type: "button", onclick },
      el("strong", {}, text), el("span", {}, detail)));
    const demos = [
      this.analyst && demo(t("first.sales"), t("first.sales_detail"), () => this.profile()),
      story && account.who?.anonymous && HERE.test(location.hostname) && demo(t("first.kill"), t("first.kill_detail"), () => this.#tell(story)), // others do not run the server
    ].filter(Boolean);
    return { line: t("first.line"), demos: demos.length > 0 && el("ul.starters.demos", { "aria-label": t("first.try") }, demos) };
  }

  /** Attaches the sample table, and writes the starter about it. */
  async profile() {
    const { page, page: { current } } = this;
    try {
      const answer = await fetch(`${ROOT}/page/samples/${SAMPLE}`);
      if (!answer.ok) throw new Error(t("first.unreadable"));
      const blob = await answer.blob();
      if (page.current !== current) return;
      page.composer.fill(this.analyst?.starters[0]?.text ?? t("first.sales"), [new File([blob], SAMPLE, { type: blob.type.split(";")[0] })]);
    } catch (fault) {
      page.toasts.show(fault.message);
    }
  }

  /** Writes the request for a long answer, and shows the steps. */
  #tell(agent) {
    const { page } = this;
    page.composer.pick(agent);
    page.composer.fill(agent.starters[0]?.text ?? t("first.kill"));
    page.guide.open(page.current);
  }
}

/** The steps of stopping the server in mid-answer, ticked off as they happen. */
export class KillGuide {
  constructor() {
    this.items = new Map(STEPS.map((step) => [step, el("li", {}, el("span.guide-mark", { "aria-hidden": "true" }), el("span", {}, t(`first.step_${step}`)))]));
    this.word = el("p.guide-word", { role: "status" });
    this.element = el("aside.guide", { "aria-label": t("first.kill"), hidden: true },
      el("button.quiet.icon-button.guide-close", { type: "button", "aria-label": t("action.close"), onclick: () => this.close() }, icon("close")),
      el("ol", {}, [...this.items.values()]), this.word);
    this.threadId = null;
  }

  open(threadId) {
    this.threadId = threadId;
    this.#show(FIRST_STAGE);
  }

  close() {
    this.threadId = null;
    this.element.hidden = true;
  }

  /** `live`: its chat has an answer at work. */
  update(threadId, { live, online }) {
    if (this.threadId === null) return;
    this.element.hidden = threadId !== this.threadId;
    if (threadId === this.threadId) this.#show(killStage(this.stage, { live, online }));
  }

  #show(stage) {
    this.stage = stage;
    this.element.hidden = false;
    const at = stage === "done" ? STEPS.length : Math.max(STEPS.indexOf(stage), 0);
    for (const [index, item] of [...this.items.values()].entries()) {
      item.classList.toggle("is-done", index < at);
      if (index === at) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
    setText(this.word, stage === "done" ? t("first.done") : stage === "missed" ? t("first.missed") : "");
  }
}

/**
 * How far a user is who stops the server in the middle of an answer, to see it go on. Pure.
 *
 * "send" the message, "kill" the server while it answers, "start" it again, "watch" the answer go on, and "done"; or
 * "missed": the answer ended before anybody had stopped the server.
 */
export const FIRST_STAGE = "send";

/** The steps that the user takes, in order. */
export const STEPS = Object.freeze(["send", "kill", "start", "watch"]);

/** The next stage; `live`: the thread has an answer at work, as far as is known here. */
export function killStage(stage, { live, online }) {
  if (stage === "send" || stage === "missed") return live ? (online ? "kill" : "start") : stage;
  if (!online) return live ? "start" : stage;
  if (stage === "kill") return live ? "kill" : "missed";
  if (stage === "start" || stage === "watch") return live ? "watch" : "done";
  return stage;
}
