/** The frame of the administration page: shows its sections, runs the actions on a row, and says how each ended. */

import { decoded, ROOT } from "../client/address.js";
import { backoff } from "../client/connection/close_codes.js";
import { OVER, Refused, OperatorRest } from "../observer/api.js";
import { hasOne, OPERATORS } from "../client/connection/session.js";
import { Table } from "../observer/table.js";
import { copyButton } from "../elements/copy.js";
import { el, setText, freshId } from "../elements/dom.js";
import { withParts } from "../elements/extension_parts.js";
import { SECTIONS, sectionsOf } from "./sections.js";

const REFRESH_MS = 5000;

export class Admin {
  /**
   * `onRefused(sentence)`: the token is not, or no longer, accepted. `roles` are those of its user, and choose the sections. Somebody
   * `anonymous` cannot sign in again, and is asked in the chat before the session ends.
   */
  constructor(api, onRefused, { roles, anonymous }) {
    Object.assign(this, { api, onRefused, roles, sections: null, views: new Map(), acts: 0, readings: 0, unreached: 0, refusal: "", unread: "" });
    this.nav = el("nav", { "aria-label": "Sections" });
    this.said = el("p.hint.said", { role: "status" });
    this.link = el("p.made-link");
    this.fault = el("p.fault", { role: "alert", hidden: true });
    this.stage = el("main.view");
    this.element = el("div.observer.admin", {},
      el("header.topbar", {}, el("h1", {}, "Administration"), hasOne(roles, OPERATORS) && el("a.quiet", { href: `${ROOT}/observer` }, "Observer"), el("a.quiet", { href: `${ROOT}/` }, "Chat"),
        !anonymous && el("button.quiet", { type: "button", onclick: () => onRefused(null) }, "Sign out")),
      el("div.views", {}, this.nav), el("div", {}, this.said, this.link, this.fault), this.stage);
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
    for (const view of this.views.values()) view.stop();
  }

  #open() {
    if (this.sections === null) return this.#begin();
    const [wanted, ...place] = location.hash.slice(1).split("/").map(decoded);
    this.section = this.sections.find(({ name, hidden }) => name === wanted && (!hidden || place.length > 0)) ?? this.sections[0];
    this.place = place;
    for (const link of this.nav.children) {
      if (link.dataset.view === (this.section.hidden ? "users" : this.section.name)) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.#say("", ""); // why the last section could not be read stays until this one was: mostly it is the server
    this.panel = null;
    return this.section.view ? this.#openView(this.section) : this.#openRows();
  }

  /** Shows a section that is a view as a whole, as it was left. It has no table of the frame's, so the timer reads nothing. */
  #openView({ name, title, view }) {
    this.#dropReading();
    this.table = null;
    this.#sayUnread("");
    if (!this.views.has(name)) this.views.set(name, view(this.api, (work) => this.#tried(work), this.roles));
    this.stage.replaceChildren(el("div.sheet", {}, el("h2", {}, title), this.views.get(name).element));
    return this.views.get(name).open();
  }

  /** Loads the sections of extensions that are on, and opens the section that is asked for; again while that is not possible. */
  async #begin() {
    this.#dropReading();
    const { readings } = this;
    const refused = await this.#refusalOf(async () => {
      const { extensions } = await this.api.ask("GET", "extensions");
      const parts = await Promise.all(withParts(extensions).map((name) => import(`../extensions/${name}/admin.js`))).catch(() => { throw new Refused(0); });
      if (readings === this.readings) this.sections = sectionsOf([{ SECTIONS }, ...parts], this.roles);
    });
    if (readings !== this.readings) return;
    if (refused) {
      this.#readAgain(refused);
      return;
    }
    this.unreached = 0;
    this.nav.replaceChildren(...this.sections.filter(({ hidden }) => !hidden).map(({ name, title }) => el("a.view-link", { href: `#${name}`, "data-view": name }, title)));
    if (this.sections.length > 0) this.#open();
    else this.#sayUnread("Nothing that is on here is for your roles.");
  }

  #openRows() {
    const { title, acts = [], columns, none, key, hint, choice, form, way } = this.section;
    const all = acts.map((act) => ({ label: act.label, fits: act.fits, onAct: (row) => (act.panel ? this.#openPanel(act, row) : this.#ask(act, row)) }));
    if (way) all.unshift({ label: way.label, fits: (row) => way.to(row) !== null, onAct: (row) => location.assign(way.to(row)) });
    this.table = new Table({ caption: title, columns, none, key, acts: all });
    this.asked = el("div.asked", { hidden: true });
    this.hint = hint ? el("p.hint", { hidden: true }, hint) : null;
    this.choice = choice ? el("select.dialog-input", { "aria-label": choice.label, onchange: () => this.#refresh() },
      Object.entries(choice.options).map(([value, word]) => el("option", { value }, word))) : null;
    this.stage.replaceChildren(el("div.sheet", {}, el("h2", {}, [title, ...this.section.hidden ? this.place.slice(0, 1) : []].join(" ")), choice && el("label.choice", {}, choice.label, this.choice), form && this.#form(form).element, this.asked, this.hint, this.table.element));
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
      const rows = await section.read(this.api, this.choice?.value, this.place);
      if (readings === this.readings) {
        table.show(rows);
        if (this.hint) this.hint.hidden = rows.length === 0;
      }
      await this.panel?.refresh();
    });
    if (readings !== this.readings) return;
    this.#readAgain(refused);
  }

  #readAgain(refused) {
    this.unreached = refused?.status === 0 ? this.unreached + 1 : 0;
    if (this.unreached !== 1) this.#sayUnread(refused?.message ?? "");
    this.timer = setTimeout(() => this.#refreshAgain(), this.unreached > 0 ? backoff(this.unreached - 1) : REFRESH_MS);
  }

  /** Reads the section if somebody sees it; after an act under way, which changes it. */
  #refreshAgain() {
    if (document.visibilityState !== "visible") return;
    clearTimeout(this.timer);
    if (this.sections === null) this.#begin();
    if (!this.table) return;
    if (this.acts > 0) this.timer = setTimeout(() => this.#refreshAgain(), REFRESH_MS);
    else this.#refresh();
  }

  #dropReading() {
    clearTimeout(this.timer);
    this.readings += 1;
  }

  /** Asks whether something is to be done to a row. */
  #ask(act, row) {
    const form = formOf({
      ...act, given: act.given?.(row), agree: act.label, name: act.question(row), buttons: [this.#leave()], onAgree: async (filled) => {
        const done = await this.#carriedOut(() => act.run(this.api, row, filled), () => act.done(row));
        if (done && form.element.isConnected) this.#close();
        return done;
      },
    });
    this.#show(el("p", {}, act.question(row)), form.element);
    form.focus();
  }

  async #openPanel(act, row) {
    const panel = act.panel(this.api, row, (work) => this.#tried(work));
    this.#show(panel.element, el("div.dialog-actions", {}, this.#leave()));
    this.panel = panel;
    if (!(await this.#tried(() => panel.open()))) this.#close();
  }

  #show(...parts) {
    this.panel = null;
    this.asked.replaceChildren(...parts);
    this.asked.hidden = false;
  }

  #close() {
    this.panel = null;
    this.asked.hidden = true;
    this.asked.replaceChildren();
  }

  #leave() {
    return el("button.secondary", { type: "button", onclick: () => this.#close() }, "Leave it");
  }

  #form(form) {
    return formOf({
      ...form, optional: form.optional ?? [], name: form.agree, onAgree: (filled) => this.#carriedOut(() => form.run(this.api, filled)),
    });
  }

  /** Does an act, says what it made or else what `sentence` says, and reads the section again. Returns whether it succeeded. */
  async #carriedOut(run, sentence = () => "") {
    let made = null;
    const done = await this.#tried(async () => { made = await run(); });
    if (done) this.#say(made?.sentence ?? sentence(), "", made?.link);
    await this.#refresh();
    return done;
  }

  /** Says what became of the last act, with a link that it made, to be sent to somebody. */
  #say(word, refusal, link = "") {
    setText(this.said, word);
    this.link.replaceChildren(...(link ? [el("code", {}, link), copyButton(() => link, "Copy the link")] : []));
    this.#sayRefusal(refusal);
  }

  #sayRefusal(refusal) {
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
    if (refused) this.#say("", refused.status ? refused.message : "");
    else this.#sayRefusal("");
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

// REST client of the administration page.

const ASK_MS = 30_000; // a broken connection may accept a request and never answer

export class AdminApi extends OperatorRest {
  /** The JSON of an answer, {} of one without content; rejects with {status, message}. */
  async ask(method, path, body = null) {
    const signal = AbortSignal.timeout(ASK_MS);
    const answer = await this.request(method, path, body ? { signal, body: JSON.stringify(body) } : { signal });
    return answer.status === 204 ? {} : answer.json().catch(() => { throw new Refused(0); }); // it ended in the middle
  }
}

// The forms of the administration page: what is asked before something is done to a row, and what makes something new.

/**
 * A form with `fields`, {name: label}, of which those in `options`, {name: {value: label}}, are chosen, and those in `optional` may be
 * empty; `given` is what they have at first. `onAgree(filled)` is called with what they have then; `buttons` stand before `agree`.
 */
export function formOf({ fields = {}, options = {}, optional = Object.keys(fields), given = {}, agree, buttons = [], onAgree, name }) {
  const inputs = Object.keys(fields).map((field) => [field, input(field, options[field], !optional.includes(field), given[field] ?? "")]);
  const submit = el("button.primary", { type: "submit" }, agree);
  const form = el("form.admin-form", { "aria-label": name, onsubmit: async (event) => {
    event.preventDefault();
    submit.disabled = true;
    const done = await onAgree(Object.fromEntries(inputs.map(([field, { value }]) => [field, value.trim()]))).finally(() => { submit.disabled = false; });
    if (done) for (const [field, one] of inputs) if (!options[field]) one.value = given[field] ?? "";
  } }, inputs.map(([field, one]) => el("div.admin-field", {}, el("label", { for: one.id }, fields[field]), one)), el("div.dialog-actions", {}, buttons, submit));
  return { element: form, focus: () => (inputs[0]?.[1] ?? submit).focus() };
}

function input(field, options, required, value) {
  const id = freshId(field);
  if (options) return el("select.dialog-input", { id }, Object.entries(options).map(([word, title]) => el("option", { value: word }, title)));
  return el("input.dialog-input", { id, required, maxLength: 500, autocomplete: "off", spellcheck: false, value });
}
