/** The end of an answer: the reason why it was cut or failed, and buttons for the user's next step. */

import { el } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { t, errorText, parts } from "../client/messages.js";
import { isCut } from "../client/threads/turns.js";
import { copyButton } from "../elements/copy.js";

// The end of an answer that was cut: why, and the ways to have the rest of it.

export class CutView {
  /** `page` is {agents, onContinue(turn), onRetry(turn)}. */
  constructor(page) {
    this.page = page;
    this.element = el("div");
    this.shown = "";
  }

  /** `last`: nothing follows the turn, so that it can be gone on with. */
  update(turn, last) {
    const failed = turn.status === "failed" && turn.error !== null;
    const agent = this.page.agents.find(turn.agentType, turn.pillar);
    const cut = last && isCut(turn);
    const goesOn = cut && agent?.continues !== false;
    const shown = JSON.stringify([turn.runId, turn.status, turn.error, failed, cut, goesOn, turn.continuing]);
    if (shown === this.shown) return;
    this.shown = shown;
    const held = this.element.contains(document.activeElement);
    const goOn = goesOn ? this.#goOn(turn) : null;
    const card = failed ? errorCard(turn.error, () => this.page.onRetry(turn), goOn) : goOn && strip(turn, goOn);
    this.element.replaceChildren(...[card, cut && !goesOn && el("p.hint", {}, t("cut.elsewhere"))].filter(Boolean));
    if (held) this.element.querySelector("button:not(:disabled)")?.focus({ preventScroll: true });
  }

  #goOn(turn) {
    return el("button.secondary", { type: "button", disabled: turn.continuing, onclick: () => this.page.onContinue(turn) },
      icon("continue"), t(turn.continuing ? "cut.going_on" : "cut.go_on"));
  }
}

function strip(turn, goOn) {
  const { budget, cut } = turn.final?.data ?? {};
  const why = budget ? t("cut.budget") : cut ? t("cut.length") : "";
  return el("div.cut", {}, why && el("span.hint", {}, why), goOn);
}

// An error as a sentence, with Try again, and the error_id for the operator.

/** `error` is {message, errorId, retryable, code}; `onRetry` sends the message again; `first` is a better way on, or null. */
export function errorCard(error, onRetry, first = null) {
  return el("div.fault", { role: "alert" },
    icon("warning"),
    el("div.fault-body", {},
      el("p", {}, errorText(error)),
      el("div.fault-actions", {}, first,
        el("button.secondary", { type: "button", onclick: onRetry }, icon("retry"), t(error.retryable ? "action.try_again" : "error.send_again")),
        error.errorId && el("span.fault-id", {}, el("span", {}, parts("error.id", { id: el("code", {}, error.errorId) })), copyButton(() => error.errorId, t("error.copy_id"))))));
}

// Next steps that the tools of an answer suggest: buttons under the answer, each a call of a tool.

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
