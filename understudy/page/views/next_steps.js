/** What a user may do next, as the tools of an answer suggest: buttons under the answer, each a call of a tool. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "../client/messages.js";

const MOST = 64; // over all results of an answer

/** The steps of all results of an answer, each label once: [{label, tool, arguments}]. */
export function nextSteps(final) {
  const results = Array.isArray(final?.data?.results) ? final.data.results : [];
  const steps = results.flatMap(({ next_steps: steps }) => (Array.isArray(steps) ? steps : []));
  const told = steps.filter((step) => typeof step?.label === "string" && typeof step.tool === "string" && typeof step.arguments === "object");
  return [...new Map(told.map((step) => [step.label, step])).values()].slice(0, MOST);
}

export class NextStepsView {
  /** `onStep(step)` makes the call that a button stands for, or opens its form. */
  constructor(onStep) {
    this.onStep = onStep;
    this.final = null;
    this.element = el("ul.next-steps", { "aria-label": t("answer.next_steps"), hidden: true });
  }

  update(final) {
    if (final === this.final) return;
    this.final = final;
    const steps = nextSteps(final);
    this.element.hidden = steps.length === 0;
    this.element.replaceChildren(...steps.map((step) => el("li", {}, this.#button(step))));
  }

  /** A step stays, to be taken beside another one; a second press at once makes no second call. */
  #button(step) {
    const button = el("button.secondary", { type: "button", onclick: async () => {
      if (button.getAttribute("aria-disabled") === "true") return;
      button.setAttribute("aria-disabled", "true");
      const made = await this.onStep(step);
      if (made) button.prepend(icon("check"));
      else button.removeAttribute("aria-disabled");
    } }, el("span.step-label", {}, step.label));
    return button;
  }
}
