/** A question that a run asks its user: a form or a few buttons, and the answer that was given. */

import { parametersOf, remaining, visibly } from "./approval.js";
import { parts, t } from "../client/messages.js";
import { el, freshId, setText } from "../elements/dom.js";
import { LazyFields } from "../forms/lazy_fields.js";
import { icon } from "../elements/icons.js";

const OUTCOMES = new Set(["answered", "declined", "expired"]);

export class QuestionView {
  /** `page` is {clock, onAnswer(questionId, answer), onSignIn(server, questionId)}; both reject with {message}. */
  constructor(page) {
    this.page = page;
    this.element = el("div.approval.question", { role: "group" });
    this.shown = null;
  }

  /** Shows a question of a turn; `step` is the call that it is about, if there is one. */
  update(question, step) {
    if (question === this.shown) return;
    const before = this.shown;
    this.shown = question;
    this.element.dataset.state = question.state;
    if (question.state !== "open") this.#close(question);
    else if (before?.state !== "open") this.#ask(question, step);
  }

  #ask(question, step) {
    const id = freshId("question");
    this.time = el("span.approval-time");
    this.statusText = el("p.field-error", { role: "alert", hidden: true });
    this.fields = question.choices || question.signIn ? null : new LazyFields(question.schema);
    const choices = question.choices?.map(({ value, title }) => el("button.secondary", { type: "button", onclick: () => this.#send({ choice: value }) }, title));
    this.buttons = choices ?? (question.signIn ? this.#signInButtons(question) : [el("button.primary", { type: "submit" }, t("action.send")), el("button.quiet", { type: "button", onclick: () => this.#send(null) }, t("question.decline"))]);
    const submit = (event) => {
      event.preventDefault();
      const answer = this.fields?.read();
      if (answer) this.#send(answer);
    };
    this.element.setAttribute("aria-labelledby", id);
    this.element.replaceChildren(
      el("header.approval-head", {}, icon("shield"), el("h3", { id, dir: "auto" }, visibly(question.title)), this.time),
      question.text ? el("p.approval-why.question-text", { dir: "auto" }, visibly(question.text)) : "",
      choices && step ? parametersOf(step.parameters) : "", // what became of a call depends on what it was given
      el("form.question-form", { noValidate: true, onsubmit: submit }, this.fields?.element,
        el("div.approval-actions", {}, this.buttons), this.statusText));
    if (question.expiresAt > 0) this.page.clock.countDown(this.time, question.expiresAt, remaining);
  }

  /** The answer is given by the way back from there. */
  #signInButtons(question) {
    const leave = async () => {
      this.#wait(true);
      this.#complain("");
      try {
        await this.page.onSignIn(question.signIn, question.id);
      } catch (fault) {
        this.#wait(false);
        this.#complain(fault.message);
      }
    };
    return [el("button.primary", { type: "button", onclick: leave }, t("session.sign_in")), el("button.quiet", { type: "button", onclick: () => this.#send(null) }, t("question.no_sign_in"))];
  }

  /** Sends an answer. The form stays as it is until the log says that the question is answered. */
  async #send(answer) {
    this.#wait(true);
    this.#complain("");
    try {
      await this.page.onAnswer(this.shown.id, answer);
    } catch (fault) {
      if (this.shown.state !== "open") return;
      this.#wait(false);
      if (!this.fields?.refuse(fault.message)) this.#complain(fault.message);
    }
  }

  #wait(waiting) {
    for (const button of this.buttons) button.disabled = waiting;
    if (this.fields) this.fields.disabled = waiting;
  }

  #complain(text) {
    setText(this.statusText, text);
    this.statusText.hidden = text === "";
  }

  #close(question) {
    const focused = this.element.contains(document.activeElement);
    if (this.time) this.page.clock.stop(this.time);
    this.element.removeAttribute("aria-labelledby");
    const chosen = question.choices?.find(({ value }) => value === question.answer?.choice)?.title;
    const said = chosen ? [["", chosen]] : Object.entries(question.answer ?? {});
    const properties = question.schema.properties ?? {};
    const line = el("p.approval-outcome", { tabIndex: -1 }, icon(question.outcome === "answered" ? "check" : "refused"),
      el("span", {}, parts(`question.outcome_${OUTCOMES.has(question.outcome) ? question.outcome : "gone"}`, { title: el("span", { dir: "auto" }, visibly(question.title)) }),
        said.map(([name, value]) => el("span.approval-said", { dir: "auto" },
          ` ${name ? t("question.value", { name: visibly(properties[name]?.title ?? name), value: shown(value) }) : shown(value)}`))));
    this.element.replaceChildren(line);
    if (focused) line.focus({ preventScroll: true });
  }
}

function shown(value) {
  if (typeof value === "boolean") return t(value ? "question.yes" : "question.no");
  return visibly(typeof value === "string" ? value : JSON.stringify(value));
}
