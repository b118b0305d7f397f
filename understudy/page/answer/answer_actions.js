/** The line below an answer or a message: its time, its versions, and buttons to copy, rate and repeat it. */

import { copyButton } from "../elements/copy.js";
import { t, dateTime, number } from "../client/messages.js";
import { composing, el, setText } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { used } from "../client/format.js";
import { LIVE } from "../client/threads/turns.js";

// The actions under an answer: versions, copy, regenerate, thumbs, and what was wrong with it.

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

// When a message was sent, or an answer ended: the time, with the whole date to be hovered.

const TIME = Object.freeze({ hour: "numeric", minute: "2-digit" });
const DAY = Object.freeze({ day: "numeric", month: "short", ...TIME });
const WHOLE = Object.freeze({ dateStyle: "full", timeStyle: "medium" });
const DAY_MS = 86_400_000;

export class MomentView {
  constructor() {
    this.element = el("time.moment", { hidden: true });
    this.at = null;
  }

  /** `at` in ms, null if it is not known. */
  show(at) {
    if (at === this.at) return;
    this.at = at;
    this.element.hidden = at === null;
    if (at === null) return;
    this.element.dateTime = new Date(at).toISOString();
    this.element.title = dateTime(at, WHOLE);
    setText(this.element, dateTime(at, Date.now() - at < DAY_MS ? TIME : DAY));
  }
}

// The switch between versions that stand beside each other: ‹ 1/2 ›.

export class Versions {
  /** `what` names them ("message" or "answer"); `onPick(turn)` shows another one. */
  constructor(what, onPick) {
    Object.assign(this, { turns: [], at: 0 });
    const step = (name, word, by) => el("button.quiet.icon-button", {
      type: "button", title: word, "aria-label": word, "data-step": String(by), onclick: () => onPick(this.turns[this.at + by], by),
    }, icon(name));
    this.before = step("left", t(`versions.previous_${what}`), -1);
    this.after = step("right", t(`versions.next_${what}`), 1);
    this.place = el("span.versions-place");
    this.element = el("span.versions", { role: "group", "aria-label": t(`versions.which_${what}`), hidden: true }, this.before, this.place, this.after);
  }

  /** Shows that place `at` of `turns` is the one to be seen. */
  show(turns, at) {
    Object.assign(this, { turns, at });
    this.element.hidden = turns.length < 2;
    setText(this.place, `${number(at + 1)}/${number(turns.length)}`);
    this.before.disabled = at <= 0;
    this.after.disabled = at >= turns.length - 1;
  }

  /** Puts the focus where it was on the switch of another version: on the same side if that can be used. */
  focus(by) {
    const [first, second] = by < 0 ? [this.before, this.after] : [this.after, this.before];
    (first.disabled ? second : first).focus();
  }
}
