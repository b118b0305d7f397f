/** The user's message: the bubble, its files, its delivery state, and the editor. */

import { composing, el } from "../elements/dom.js";
import { copyButton } from "../elements/copy.js";
import { errorCard } from "../answer/answer_end.js";
import { icon } from "../elements/icons.js";
import { MomentView, Versions } from "../answer/answer_actions.js";
import { NoticesView, nodesOf, redactionPattern } from "../answer/redactions.js";
import { isWidgetCall } from "../client/threads/turns.js";
import { isAutomatic } from "../client/ids.js";
import { t } from "../client/messages.js";

const NOT_YET = new Set(["waiting", "sent", "rejected"]);

export class UserMessageView {
  /** `page` is {files, onRetry(turn), onWithdraw(turn), onEdit(turn, content), onPick(turn, by, what)}. */
  constructor(page) {
    this.page = page;
    this.versions = new Versions("message", (turn, by) => page.onPick(turn, by, "message"));
    this.pencil = el("button.quiet.icon-button", { type: "button", title: t("said.edit"), "aria-label": t("said.edit_this"), onclick: () => this.edit() }, icon("pencil"));
    this.notices = new NoticesView();
    this.moment = new MomentView();
    this.copy = copyButton(() => this.turn.content, t("said.copy"));
    this.footer = el("div.said-foot", {}, this.moment.element, this.versions.element, this.copy, this.pencil);
    this.element = el("div.said");
  }

  /** `siblings` is what stands beside the turn (`branches.beside`). */
  update(turn, siblings) {
    const before = this.turn;
    this.turn = turn;
    this.versions.show(siblings.messages, siblings.message);
    this.moment.show(turn.runId === null ? null : turn.sentAt);
    this.pencil.hidden = turn.runId === null || turn.content === "" || isWidgetCall(turn);
    this.copy.hidden = this.pencil.hidden;
    const same = before && key(turn) === key(before) && turn.error === before.error && turn.steps === before.steps;
    if (!same && !this.form) this.#show(turn);
  }

  #show(turn) {
    const focused = [this.footer, this.notices.element].some((part) => part.contains(document.activeElement)) ? document.activeElement : null;
    const files = turn.references.map((reference) => this.page.files.chip(reference));
    const redacted = turn.steps.filter((step) => step.kind === "sanitized" && step.direction === "inbound");
    this.notices.update(redacted);
    this.element.hidden = turn.content === "" && files.length === 0;
    this.element.replaceChildren(
      el("h2.offscreen", {}, t("said.you")),
      files.length > 0 ? el("div.said-files", {}, files) : "",
      isWidgetCall(turn) ? el("p.delivery", {}, icon("tool"), t("said.by_widget"))
        : el(`div.bubble.is-${turn.status}`, { dir: "auto" }, nodesOf(turn.content, redactionPattern(redacted.flatMap((step) => step.found)))),
      this.#delivery(turn) ?? "",
      isAutomatic(turn.messageId) ? el("p.delivery", {}, icon("clock"), t("said.automatic")) : "",
      this.notices.element,
      this.footer,
    );
    focused?.focus();
  }

  #delivery(turn) {
    if (turn.status === "waiting") {
      return el("p.delivery", {}, icon("clock"), t("said.waiting"),
        el("button.link", { type: "button", onclick: () => this.page.onWithdraw(turn) }, t("action.take_back")));
    }
    if (turn.status === "sent") return el("p.delivery.is-sent", {}, turn.progress?.note || t("said.sending"));
    return turn.status === "rejected" ? errorCard(turn.error, () => this.page.onRetry(turn)) : null;
  }

  /** The bubble becomes a box to write in; Enter sends, Escape leaves everything as it was. */
  /** Opens the editor; `onOver()` is called when it has closed, by default the focus goes to the pencil. */
  edit(onOver = () => this.pencil.focus()) {
    const { turn } = this;
    const text = el("textarea.edit-text", { value: turn.content, rows: 1, "aria-label": t("said.edit_this"), dir: "auto" });
    const fit = () => {
      text.style.height = "auto";
      text.style.height = `${text.scrollHeight}px`;
    };
    const finish = (send) => {
      const content = text.value.trim();
      if (send && content === "") return;
      this.form = null;
      this.#show(this.turn);
      onOver();
      if (send && content !== turn.content) this.page.onEdit(turn, content);
    };
    text.addEventListener("input", fit);
    text.addEventListener("keydown", (event) => {
      if (composing(event)) return;
      const send = event.key === "Enter" && !event.shiftKey;
      if (!send && event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      finish(send);
    });
    this.form = el("form.edit", { onsubmit: (event) => {
      event.preventDefault();
      finish(true);
    } }, text, el("p.hint", {}, t("said.branches")), el("div.edit-actions", {},
      el("button.secondary", { type: "button", onclick: () => finish(false) }, t("action.cancel")), el("button.primary", { type: "submit" }, t("action.send"))));
    this.element.replaceChildren(this.form);
    fit();
    text.focus();
    text.setSelectionRange(text.value.length, text.value.length);
  }
}

function key(turn) {
  const waits = turn.status === "sent" ? turn.progress?.note ?? "" : "";
  return `${NOT_YET.has(turn.status) ? turn.status : "accepted"} ${waits} ${turn.content}`;
}
