/** The end of an answer that was cut: why, and the ways to have the rest of it. */

import { el } from "./dom.js";
import { errorCard } from "./error_card.js";
import { icon } from "./icons.js";
import { t } from "../client/messages.js";
import { isCut } from "../client/threads/turns.js";

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
