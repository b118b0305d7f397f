/** What a user may ask next, as the tools of an answer suggest: buttons under the answer. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "../client/messages.js";

const MOST = 8; // over all results of an answer

/** The steps of all results of an answer, each message once: [{label, message}]. */
export function nextSteps(final) {
  const results = Array.isArray(final?.data?.results) ? final.data.results : [];
  const steps = results.flatMap(({ next_steps: steps }) => (Array.isArray(steps) ? steps : []));
  const told = steps.filter((step) => typeof step?.label === "string" && typeof step.message === "string");
  return [...new Map(told.map((step) => [step.message, step])).values()].slice(0, MOST);
}

export class NextStepsView {
  /** `onStep(message)` sends what a button stands for. */
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
    this.element.replaceChildren(...steps.map(({ label, message }) => el("li", {}, this.#button(label, message))));
  }

  /** A step stays, to be taken beside another one; a second press at once sends nothing. */
  #button(label, message) {
    const button = el("button.secondary", { type: "button", title: message === label ? null : message, onclick: () => {
      if (button.getAttribute("aria-disabled") === "true") return;
      button.setAttribute("aria-disabled", "true");
      button.prepend(icon("check"));
      this.onStep(message);
    } }, el("span.step-label", {}, label));
    return button;
  }
}
