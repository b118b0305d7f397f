/** The actions under an answer: versions, copy, regenerate, thumbs, and what was wrong with it. */

import { copyButton } from "./copy.js";
import { t } from "../client/messages.js";
import { composing, el, setText } from "./dom.js";
import { icon } from "./icons.js";
import { used } from "../client/format.js";
import { LIVE } from "../client/threads/turns.js";
import { MomentView } from "./moment.js";
import { Versions } from "./versions.js";

const MAX_NOTE = 1000; // characters; the server takes as many

export class AnswerActionsView {
  /** `page` is {onAgain(turn), onRate(turn, rating, note), onPick(turn, by, what)}; `text()` returns the text to copy, or resolves to it. */
  constructor(page, text) {
    this.page = page;
    this.turn = null;
    this.versions = new Versions("answer", (turn, by) => page.onPick(turn, by, "answer"));
    this.copy = copyButton(text, t("answer.copy"));
    this.regenerate = el("button.quiet.icon-button", { type: "button", title: t("answer.again"), "aria-label": t("answer.again"), onclick: () => page.onAgain(this.turn) }, icon("retry"));
    const thumb = (rating, word) => el("button.quiet.icon-button.thumb", {
      type: "button", title: word, "aria-label": word, "aria-pressed": "false",
      onclick: () => this.#rate(this.rating === rating ? null : rating),
    }, icon(`thumb${rating}`));
    this.thumbs = { up: thumb("up", t("answer.good")), down: thumb("down", t("answer.bad")) };
    this.moment = new MomentView();
    this.note = el("span.hint");
    this.tools = el("span.foot-tools", {}, this.copy, this.regenerate, this.thumbs.up, this.thumbs.down);
    this.foot = el("footer.turn-foot", {}, this.versions.element, this.tools, this.moment.element, this.note);
    this.element = el("div", { hidden: true }, this.foot);
  }

  /** `siblings` is what stands beside the turn; `rating` is "up", "down" or null. */
  update(turn, siblings, rating) {
    const live = LIVE.has(turn.status);
    const written = Boolean(turn.final?.message || turn.stream.text);
    this.turn = turn;
    this.rating = rating;
    this.versions.show(siblings.answers, siblings.answer);
    this.tools.hidden = live;
    this.moment.show(live ? null : turn.endedAt ?? null);
    this.copy.hidden = !written;
    this.regenerate.hidden = turn.runId === null || turn.content === "";
    for (const [name, button] of Object.entries(this.thumbs)) {
      button.hidden = turn.final === null;
      button.setAttribute("aria-pressed", String(name === rating));
    }
    const stopped = turn.status === "cancelled" ? t("answer.stopped") : "";
    setText(this.note, live ? "" : [stopped, this.#usage(turn)].filter(Boolean).join(" "));
    this.element.hidden = live && siblings.answers.length < 2;
  }

  /** A bad answer is counted at once; why it was bad may be said then. */
  #rate(rating) {
    this.page.onRate(this.turn, rating);
    this.why?.remove();
    this.why = null;
    if (rating !== "down") return;
    const close = () => {
      this.why?.remove();
      this.why = null;
      this.thumbs.down.focus();
    };
    const text = el("input.why-text", { type: "text", maxLength: MAX_NOTE, autocomplete: "off", dir: "auto", placeholder: t("answer.why"), "aria-label": t("answer.why") });
    text.addEventListener("keydown", (event) => {
      if (composing(event) || event.key !== "Escape") return;
      event.stopPropagation(); // it would stop a run
      close();
    });
    this.why = el("form.why", { onsubmit: (event) => {
      event.preventDefault();
      if (text.value.trim() !== "") this.page.onRate(this.turn, "down", text.value.trim());
      close();
    } }, text, el("button.secondary", { type: "submit" }, t("action.send")));
    this.element.append(this.why);
    text.focus();
  }

  #usage(turn) {
    const { agents } = this.page;
    const agent = turn.steps.findLast((step) => step.kind === "agent") ?? turn;
    const model = agents.find(agent.agentType, agent.pillar)?.model ?? agents.model;
    return used(turn.final?.usage, model, agents.model?.currency, agents.model?.costs);
  }
}
