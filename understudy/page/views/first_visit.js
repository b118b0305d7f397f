/** A first visit: what the product is, sample data to try it with, and how to see an answer survive its server. */

import { ROOT } from "../client/address.js";
import { el, setText } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "../client/messages.js";
import { FIRST_STAGE, killStage, STEPS } from "../client/kill_demo.js";

const FEW = 5; // chats up to which somebody is new here
const HERE = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/; // the server is on the machine of who looks
const DEMOS = Object.freeze({ sales: { say: "sales.txt", files: ["sales.csv"] }, kill: { say: "story.txt", files: [] } }); // samples

export class FirstVisit {
  /** `page` is {agents, account, sidebar, composer, guide, toasts, current}, the id of the open chat. */
  constructor(page) {
    this.page = page;
  }

  /** Whether there are agents for what is demonstrated. */
  get has() {
    return Boolean(this.page.agents.find("liaison", "insights"));
  }

  /** {line, demos} for somebody new who talks to the guide; null for all others, and where its colleagues are not. */
  offer() {
    const { account, sidebar, composer } = this.page;
    const known = sidebar.total === null || sidebar.total >= FEW;
    if (known || composer.picker.picked.agent_type !== "guide" || !this.has) return null;
    const demo = (name, text, detail) => el("li", {}, el("button.starter.demo", { type: "button", onclick: () => this.try(name) },
      el("strong", {}, text), el("span", {}, detail)));
    return {
      line: t("first.line"),
      demos: el("ul.starters.demos", { "aria-label": t("first.try") },
        demo("sales", t("first.sales"), t("first.sales_detail")),
        account.who?.anonymous && HERE.test(location.hostname) && demo("kill", t("first.kill"), t("first.kill_detail"))), // others do not run the server
    };
  }

  /** Puts a demonstration, "sales" or "kill", into the message box, to be sent. */
  async try(name) {
    const { page, page: { current } } = this;
    try {
      const { say, files } = await sampleOf(name);
      if (page.current !== current) return;
      page.composer.fill(say, files);
      if (name === "kill") page.guide.open(current);
    } catch (fault) {
      page.toasts.show(fault.message);
    }
  }
}

/** {say, files} of a demonstration; rejects when its samples cannot be read. */
async function sampleOf(name) {
  const { say, files } = DEMOS[name];
  const read = async (file) => {
    const answer = await fetch(`${ROOT}/page/samples/${file}`);
    if (!answer.ok) throw new Error(t("first.unreadable"));
    return answer.blob();
  };
  const [text, ...blobs] = await Promise.all([say, ...files].map(read));
  return { say: (await text.text()).trim(), files: blobs.map((blob, at) => new File([blob], files[at], { type: blob.type.split(";")[0] })) };
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
