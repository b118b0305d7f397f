/** The frame of the administration page: its sections, what is done to a row, and what became of it. */

import { backoff } from "../client/close_codes.js";
import { OVER } from "../observer/rest.js";
import { hasOne, OPERATORS } from "../observer/roles.js";
import { Table } from "../observer/table.js";
import { el, freshId, setText } from "../views/dom.js";
import { AuditLog } from "./audit_log.js";
import { AUDIT, KINDS, sectionsOf } from "./sections.js";
import { TakenRun } from "./taken_run.js";

const REFRESH_MS = 5000;

export class Admin {
  /** `onRefused(sentence)`: the token is not, or no longer, accepted. `roles` are those of its user, and choose the sections. */
  constructor(api, onRefused, roles) {
    Object.assign(this, { api, onRefused, roles, sections: sectionsOf(roles), log: null, acts: 0, readings: 0, unreached: 0, refusal: "", unread: "" });
    this.links = this.sections.map(({ name, title }) => el("a.view-link", { href: `#${name}`, "data-view": name }, title));
    this.said = el("p.hint.said", { role: "status" });
    this.fault = el("p.fault", { role: "alert", hidden: true });
    this.stage = el("main.view");
    this.element = el("div.observer.admin", {},
      el("header.topbar", {}, el("h1", {}, "Administration"), hasOne(roles, OPERATORS) && el("a.quiet", { href: "/observer" }, "Observer"), el("a.quiet", { href: "/" }, "Chat"),
        el("button.quiet", { type: "button", onclick: () => onRefused(null) }, "Sign out")),
      el("div.views", {}, el("nav", { "aria-label": "Sections" }, this.links)), this.said, this.fault, this.stage);
  }

  start() {
    this.listening = new AbortController();
    const options = { signal: this.listening.signal };
    addEventListener("hashchange", () => this.#open(), options);
    addEventListener("online", () => this.#refreshAgain(), options);
    document.addEventListener("visibilitychange", () => this.#refreshAgain(), options);
    this.#open();
  }

  stop() {
    this.listening.abort();
    this.#dropReading();
    this.log?.stop();
  }

  #open() {
    this.section = this.sections.find(({ name }) => `#${name}` === location.hash) ?? this.sections[0];
    for (const link of this.links) {
      if (link.dataset.view === this.section.name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.#say("", ""); // why the last section could not be read stays until this one was: mostly it is the server
    this.taken = null;
    return this.section === AUDIT ? this.#openLog() : this.#openRows();
  }

  /** Shows the audit log as it was left. It has no table of the frame's, so the timer reads nothing: a reading is recorded. */
  #openLog() {
    this.#dropReading();
    this.table = null;
    this.#sayUnread("");
    this.log ??= new AuditLog(this.api, (work) => this.#tried(work), this.roles);
    this.stage.replaceChildren(el("div.sheet", {}, el("h2", {}, AUDIT.title), this.log.element));
  }

  #openRows() {
    const { title, act, columns, none, key, hint } = this.section;
    this.table = new Table({ caption: title, columns, none, key, onPick: act ? (row) => this.#ask(row) : null });
    this.asked = el("div.asked", { hidden: true });
    const also = this.section.taken ? ", or to take it over" : "";
    const about = act ? `Pick a row to ${act.label.toLowerCase()}${also}.` : hint;
    this.hint = about ? el("p.hint", { hidden: true }, about) : null; // of no rows nothing is picked
    this.stage.replaceChildren(el("div.sheet", {}, el("h2", {}, title), this.section.stops ? this.#form() : null, this.asked, this.hint, this.table.element));
    return this.#refresh();
  }

  /**
   * Reads the section again, and then in REFRESH_MS, or sooner if the server could not be reached. Of several readings the
   * last one is shown. The first that does not reach the server is repeated before that is said.
   */
  async #refresh() {
    this.#dropReading();
    const { section, table, readings } = this;
    const refused = await this.#refusalOf(async () => {
      const rows = await section.read(this.api);
      if (readings === this.readings) {
        table.show(rows);
        if (this.hint) this.hint.hidden = rows.length === 0;
      }
      await this.taken?.refresh();
    });
    if (readings !== this.readings) return;
    this.unreached = refused?.status === 0 ? this.unreached + 1 : 0;
    if (this.unreached !== 1) this.#sayUnread(refused?.message ?? "");
    this.timer = setTimeout(() => this.#refreshAgain(), this.unreached > 0 ? backoff(this.unreached - 1) : REFRESH_MS);
  }

  /** Reads the section if somebody sees it; after an act under way, which changes it. */
  #refreshAgain() {
    if (document.visibilityState !== "visible" || !this.table) return;
    clearTimeout(this.timer);
    if (this.acts > 0) this.timer = setTimeout(() => this.#refreshAgain(), REFRESH_MS);
    else this.#refresh();
  }

  #dropReading() {
    clearTimeout(this.timer);
    this.readings += 1;
  }

  /** Asks whether something is to be done to a row. */
  #ask(row) {
    const { act, taken } = this.section;
    const close = () => {
      this.taken = null;
      this.asked.hidden = true;
      this.asked.replaceChildren();
    };
    const agree = el("button.primary", { type: "button", onclick: async () => {
      close();
      if (await this.#tried(() => act.run(this.api, row))) this.#say(act.done(row), "");
      await this.#refresh();
    } }, act.label);
    const leave = el("button.secondary", { type: "button", onclick: close }, "Leave it");
    const take = taken && el("button.secondary", { type: "button", onclick: async () => {
      const run = new TakenRun(this.api, row, (work) => this.#tried(work));
      this.asked.replaceChildren(run.element, el("div.dialog-actions", {}, leave, agree));
      this.taken = run;
      if (!(await this.#tried(() => run.open()))) close();
    } }, "Take it over");
    this.taken = null;
    this.asked.replaceChildren(el("p", {}, act.question(row)), el("div.dialog-actions", {}, leave, take, agree));
    this.asked.hidden = false;
    agree.focus();
  }

  #form() {
    const [kind, name, reason] = ["kind", "name", "reason"].map((part) => freshId(part));
    const kinds = el("select.dialog-input", { id: kind }, Object.entries(KINDS).map(([word, title]) => el("option", { value: word }, title)));
    const names = el("input.dialog-input", { id: name, required: true, maxLength: 200, autocomplete: "off", spellcheck: false });
    const reasons = el("input.dialog-input", { id: reason, required: true, maxLength: 500 });
    const send = async (event) => {
      event.preventDefault();
      const path = `stops/${kinds.value}/${encodeURIComponent(names.value.trim())}`;
      await this.#tried(async () => {
        const made = await this.api.ask("PUT", path, { reason: reasons.value });
        this.#say(`The ${made.kind} ${made.name} is stopped.${made.known ? "" : " This server has none of that name now: check the spelling."}`, "");
        names.value = reasons.value = "";
      });
      await this.#refresh();
    };
    return el("form.stop-form", { onsubmit: send },
      el("label", { for: kind }, "What"), kinds, el("label", { for: name }, "Name"), names, el("label", { for: reason }, "Reason, for users"), reasons,
      el("button.primary", { type: "submit" }, "Stop it"));
  }

  /** Says what became of the last act. */
  #say(word, refusal) {
    setText(this.said, word);
    this.refusal = refusal;
    this.#showFault();
  }

  /** Says why the section cannot be read, and after a reading nothing. */
  #sayUnread(unread) {
    this.unread = unread;
    this.#showFault();
  }

  #showFault() {
    const fault = this.refusal || this.unread;
    setText(this.fault, fault);
    this.fault.hidden = !fault;
  }

  /** Whether an act succeeded. A refusal is said until the next act, or, if the server was not reached, until the next reading. */
  async #tried(work) {
    this.acts += 1;
    const refused = await this.#refusalOf(work).finally(() => { this.acts -= 1; });
    this.#say(refused ? "" : this.said.textContent, refused?.status ? refused.message : "");
    this.#sayUnread(refused?.status === 0 ? refused.message : "");
    return refused === null;
  }

  /** The refusal of a request, null without one. If the token is not valid, the page asks for another. */
  async #refusalOf(work) {
    try {
      await work();
      return null;
    } catch (refused) {
      if (refused.status === undefined) throw refused;
      if (refused.status === OVER) this.onRefused(refused.message);
      return refused;
    }
  }
}
