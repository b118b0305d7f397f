/** The question whether a tool may be used: all of the call's parameters, the buttons Allow and Deny, and the decision. */

import { el, freshId, setText } from "../elements/dom.js";
import { parts, number, t } from "../client/messages.js";
import { LazyFields } from "../forms/lazy_fields.js";
import { icon } from "../elements/icons.js";
import { humanised } from "../client/format.js";

const NOTE_CHARACTERS = 1_000; // as many as the server takes
const OUTCOMES = new Set(["allow", "deny", "expired"]);

export class ApprovalView {
  /**
   * `page` is {clock, agents, api, threadId(), onApprove(callId, decision, note, options), onApproveChanged(callId, parameters, note,
   * options)}; `onApproveChanged` rejects with {message} when the parameters are refused.
   */
  constructor(page) {
    this.page = page;
    this.element = el("div.approval", { role: "group" });
    this.state = null;
  }

  /** Shows a tool step with its `approval`. */
  update(step) {
    const { approval } = step;
    const { allowAlways } = this.page.agents;
    if (approval === this.approval && allowAlways === this.allowAlways) return;
    Object.assign(this, { approval, allowAlways });
    if (approval.state !== "open") this.#close(step, approval);
    else if (this.state === "open") this.#wait(approval.deciding);
    else this.#ask(step, approval);
    this.state = approval.state;
    this.element.dataset.state = approval.state;
    this.#showAlways(step);
  }

  /** Has permissions fill their place while they are on: with the offer to allow the tool always, or with the way back. */
  async #showAlways({ tool, approval }) {
    const { always } = this;
    always.hidden = !this.allowAlways || (approval.state !== "open" && !(approval.always && approval.decision === "allow"));
    if (always.hidden || always.firstChild !== null) return;
    const { offer, takeBack } = await import("../extensions/permissions/always.js").catch((fault) => {
      if (!(fault instanceof TypeError)) throw fault;
      return {}; // no network, and not kept
    });
    if (offer && always.firstChild === null) always.append(...(approval.state === "open" ? offer(tool) : takeBack(tool, this.page)));
  }

  #ask(step, approval) {
    const [id, noteId] = [freshId("approval"), freshId("note")];
    this.note = el("input.approval-note", { id: noteId, maxLength: NOTE_CHARACTERS, autocomplete: "off", dir: "auto" });
    this.time = el("span.approval-time");
    this.statusText = el("p.hint", { role: "status" });
    const answer = (decision, word, look) => el(`button.${look}`, {
      type: "button", onclick: () => this.#decide(step, decision),
    }, word);
    this.fields = null;
    const edit = approval.schema && Object.keys(approval.schema.properties ?? {}).length > 0
      ? el("button.secondary", { type: "button", onclick: () => this.#edit(approval, edit) }, t("approval.change")) : null;
    this.buttons = [answer("allow", t("approval.allow"), "primary"), answer("deny", t("approval.deny"), "secondary"), ...(edit ? [edit] : [])];
    this.always = el("div.field-flag.approval-always");
    this.parameters = el("div", {}, parametersOf(approval.parameters));
    this.element.setAttribute("aria-labelledby", id);
    this.element.replaceChildren(
      el("header.approval-head", {}, icon("shield"), el("h3", { id }, parts("approval.title", { tool: el("code", {}, step.tool) })), this.time),
      step.text && step.text !== humanised(step.tool) ? el("p.approval-why", {}, step.text) : "",
      this.parameters,
      el("label.approval-label", { for: noteId }, t("approval.note")), this.note,
      this.always,
      el("div.approval-actions", {}, this.buttons, this.statusText));
    if (approval.expiresAt > 0) this.page.clock.countDown(this.time, approval.expiresAt, remaining);
    this.#wait(approval.deciding);
  }

  /** Replaces the parameters by a form of them. */
  #edit(approval, button) {
    this.fields = new LazyFields(approval.schema, approval.parameters);
    this.parameters.replaceChildren(this.fields.element);
    button.remove();
    this.buttons = this.buttons.filter((one) => one !== button);
    this.fields.focus();
  }

  async #decide(step, decision) {
    const options = { remember: decision === "allow" && this.allowAlways && this.always.firstChild?.checked === true };
    const note = this.note.value.trim();
    if (decision === "deny" || this.fields === null) {
      this.page.onApprove(step.callId, decision, note, options);
      return;
    }
    const changed = this.fields.read();
    if (changed === null) return;
    if (JSON.stringify(changed) === JSON.stringify(step.approval.parameters)) {
      this.page.onApprove(step.callId, decision, note, options);
      return;
    }
    this.#wait("allow");
    try {
      await this.page.onApproveChanged(step.callId, changed, note, options);
    } catch (fault) {
      if (this.state !== "open") return;
      this.#wait(null);
      if (!this.fields.refuse(fault.message)) setText(this.statusText, fault.message);
    }
  }

  /** Disables the buttons until the server has answered the decision. */
  #wait(deciding) {
    for (const button of this.buttons) button.disabled = deciding !== null;
    this.note.disabled = this.always.inert = deciding !== null;
    if (this.fields) this.fields.disabled = deciding !== null;
    setText(this.statusText, deciding === null ? "" : t(deciding === "allow" ? "approval.allowing" : "approval.denying"));
  }

  #close(step, approval) {
    const focused = this.element.contains(document.activeElement);
    if (this.time) this.page.clock.stop(this.time);
    const outcome = OUTCOMES.has(approval.decision) ? approval.decision : "gone";
    this.element.removeAttribute("aria-labelledby");
    this.always = el("span");
    const line = el("p.approval-outcome", { tabIndex: -1 },
      icon(approval.decision === "allow" ? "check" : "refused"), el("span", {}, parts(`approval.outcome_${outcome}`, { tool: el("code", {}, step.tool) }),
        approval.note && el("span.approval-said", { dir: "auto" }, ` ${t("approval.said_note", { note: visibly(approval.note) })}`),
        approval.changed && el("span.approval-said", { dir: "auto" }, ` ${t("approval.said_changed", { changes: visibly(JSON.stringify(approval.changed)) })}`)),
      this.always);
    this.element.replaceChildren(line);
    if (focused) line.focus({ preventScroll: true });
  }
}

/** Returns a list of a call's parameters, name by name. */
export function parametersOf(parameters) {
  const entries = Object.entries(parameters);
  if (entries.length === 0) return el("p.hint", {}, t("approval.no_parameters"));
  return el("dl.approval-parameters", {}, entries.flatMap(([name, value]) => [
    el("dt", {}, humanised(visibly(name))),
    el("dd", {}, el("pre", { tabIndex: 0, dir: "auto" }, visibly(typeof value === "string" ? value : JSON.stringify(value, null, 2)))),
  ]));
}

/** Text with invisible and direction-changing characters replaced by their code points. */
export function visibly(text) {
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Co}\u2028\u2029]/gu, (mark) => (
    mark === "\n" || mark === "\t" ? mark : `\\u{${mark.codePointAt(0).toString(16)}}`
  ));
}

const PLAIN = Object.freeze({ useGrouping: false });
const PADDED = Object.freeze({ minimumIntegerDigits: 2 });

/** "4:32 left", "23:59:59 left". */
export function remaining(ms) {
  if (ms <= 0) return t("approval.time_up");
  const seconds = Math.ceil(ms / 1000);
  const [hours, ...rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const parts = hours > 0 ? [hours, ...rest] : rest;
  return t("approval.left", { time: parts.map((part, at) => number(part, at === 0 ? PLAIN : PADDED)).join(":") });
}
