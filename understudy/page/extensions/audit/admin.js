/** The section of the audit log: its filters, a table of the entries, and the buttons that save them. */

import { backoff } from "../../client/connection/close_codes.js";
import { count, moment, who } from "../../observer/labels.js";
import { SERVER_AUDITOR } from "../../client/connection/session.js";
import { Table } from "../../observer/table.js";
import { el, freshId, setText, saveAs } from "../../elements/dom.js";

const SHOWN = 100; // entries of a page in the table
const SAVED = 500; // and of one that is only saved: the server's most
const SAVE = "Save all as JSON Lines";
const RETRIED_MS = 120_000; // how long a page to be saved is asked for again: longer than a server takes to restart

const option = (value, word) => el("option", { value }, word);
const said = (value) => (typeof value === "boolean" ? (value ? "yes" : "no") : String(value));

/** "tool: send_mail, always: yes". */
export function detailText(detail) {
  return Object.entries(detail).map(([name, value]) => `${name}: ${said(value)}`).join(", ");
}

export const COLUMNS = Object.freeze([
  { title: "Time", text: (row) => moment(row.at, { seconds: true }), order: (row) => row.number },
  { title: "Who", text: ({ user, user_tenant: tenant }) => who({ user, tenant }) },
  { title: "By role", text: (row) => row.role ?? "" },
  { title: "What", text: (row) => row.action },
  { title: "To whom", text: (row) => row.target ?? "" },
  { title: "Tenant", text: (row) => row.tenant ?? "" },
  { title: "Way", text: (row) => row.way },
  { title: "Details", text: (row) => detailText(row.detail), wraps: true },
]);

/** The parameters of `GET /api/audit` for what was chosen; `since` and `until` are times of the browser, as its fields give them. */
export function auditQuery({ since = "", until = "", ...texts }) {
  const query = { ...texts };
  for (const [name, at] of Object.entries({ since, until })) query[name] = at && String(new Date(at).getTime() / 1000);
  return Object.fromEntries(Object.entries(query).map(([name, text]) => [name, text.trim()]).filter(([, text]) => text));
}

/** Whether a refusal may pass: the server was not reached, restarts, is busy, or limits the rate. */
const passes = ({ status }) => status === 0 || status === 429 || status >= 500;

/** Real time: {now(), wait(ms, stopped)}; a wait ends early when its signal `stopped` is aborted. */
const CLOCK = {
  now: () => Date.now(),
  wait: (ms, stopped) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stopped.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  }),
};

/** Entries that were read, the newest first. Only the first page stores an entry of the reading: the others have its cursor. */
export class Reading {
  constructor(api, query) {
    Object.assign(this, { api, query, entries: [], cursor: "" });
  }

  /** Whether there may be older entries. */
  get goesOn() {
    return this.cursor !== null;
  }

  /** Reads a page of older entries, or the first. */
  async older(limit = SHOWN) {
    const parameters = new URLSearchParams({ ...this.query, limit, ...(this.cursor && { cursor: this.cursor }) });
    const { entries, next_cursor: next } = await this.api.ask("GET", `audit?${parameters}`);
    this.entries = [...this.entries, ...entries];
    this.cursor = next;
  }

  /**
   * Yields the entries that were read, and then all older ones, as they are read; this reading stays as it is. A page whose
   * refusal may pass is asked for again, ever more slowly, for RETRIED_MS; `waits(refusal)` is called before each wait. Once
   * the signal `stopped` is aborted no page is asked for.
   */
  async *pages(stopped, waits, clock = CLOCK) {
    yield this.entries;
    const rest = Object.assign(new Reading(this.api, this.query), { cursor: this.cursor });
    while (rest.goesOn && !stopped.aborted) {
      rest.entries = [];
      await rest.#retried(stopped, waits, clock);
      yield rest.entries;
    }
  }

  async #retried(stopped, waits, clock) {
    const until = clock.now() + RETRIED_MS;
    for (let attempt = 0; !stopped.aborted; attempt += 1) {
      try {
        await this.older(SAVED);
        return;
      } catch (refusal) {
        const ms = backoff(attempt);
        if (!passes(refusal) || clock.now() + ms > until) throw refusal;
        waits(refusal);
        await clock.wait(ms, stopped);
      }
    }
  }
}

/** Entries as JSON Lines, as `understudy audit` prints them. */
export const linesOf = (entries) => entries.map((entry) => `${JSON.stringify(entry)}\n`).join("");

/**
 * Opens a file to write to: {write(text), close(), abort()}; until `close()` nothing is saved. In browsers with a picker it is
 * on the disk already; in others its parts are blobs, which the browser may move to the disk, and it is a download in the end.
 */
async function openFile(name) {
  if (globalThis.showSaveFilePicker) return (await globalThis.showSaveFilePicker({ suggestedName: name })).createWritable();
  const parts = [];
  return {
    write: (text) => parts.push(new Blob([text])), abort: () => parts.splice(0),
    close: () => saveAs(new Blob(parts, { type: "application/jsonl" }), name),
  };
}

export class AuditLog {
  /** `tried(work)` runs a request, says a refusal, and resolves to whether it succeeded. `roles` are the user's. */
  constructor(api, tried, roles) {
    Object.assign(this, { api, tried, reading: null, working: false, saving: null });
    this.counted = el("p.hint", { role: "status" });
    this.table = new Table({ caption: "Audit log", columns: COLUMNS, none: "No entry fits.", key: (row) => row.number });
    this.more = el("button.secondary", { type: "button", onclick: () => this.#older() }, "Show older entries");
    this.save = el("button.secondary", { type: "button", onclick: () => (this.saving ? this.stop() : this.#save()) }, SAVE);
    this.after = el("div.dialog-actions", {}, this.more, this.save);
    this.element = el("div.audit", {}, this.#form(roles),
      el("p.hint", {}, `Each reading is itself recorded in the log, so nothing is read until you say so. Times are in ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`),
      this.counted, this.table.element, this.after);
    this.table.element.hidden = this.after.hidden = true;
  }

  #form(roles) {
    const text = () => el("input.dialog-input", { maxLength: 200, autocomplete: "off", spellcheck: false });
    const time = () => el("input.dialog-input", { type: "datetime-local" });
    this.inputs = { user: text(), ...(roles.includes(SERVER_AUDITOR) && { tenant: text() }), action: el("select.dialog-input", {}, option("", "All actions")), since: time(), until: time() };
    const titles = { user: "Done by or to user", tenant: "Tenant", action: "Action", since: "From", until: "Before" };
    const fields = Object.entries(this.inputs).map(([name, input]) => {
      input.id = freshId(name);
      return el("div", {}, el("label", { for: input.id }, titles[name]), input);
    });
    const send = (event) => {
      event.preventDefault();
      this.#begin();
    };
    return el("form.audit-filter", { onsubmit: send }, fields, el("button.primary", { type: "submit" }, "Show"));
  }

  /** Reads the actions by which entries can be chosen, unless they are there. */
  async open() {
    const { action } = this.inputs;
    if (action.options.length > 1) return;
    await this.tried(async () => {
      const { actions } = await this.api.ask("GET", "audit/actions");
      action.replaceChildren(action.options[0], ...actions.map((name) => option(name, name)));
    });
  }

  #begin() {
    return this.#read(async () => {
      const reading = new Reading(this.api, auditQuery(Object.fromEntries(Object.entries(this.inputs).map(([name, { value }]) => [name, value]))));
      await reading.older();
      this.reading = reading;
      this.#show();
    });
  }

  #older() {
    return this.#read(async () => {
      await this.reading.older();
      this.#show();
      if (!this.reading.goesOn) this.table.element.focus(); // the button is gone
    });
  }

  /** Ends the saving that is under way; nothing is saved then. */
  stop() {
    this.saving?.abort();
  }

  /** Saves a page at a time: a log of years does not fit into the memory. */
  #save() {
    return this.#read(async () => {
      this.saving = new AbortController();
      try {
        await this.#saveTo(await openFile("audit.jsonl"), this.saving.signal);
      } catch (fault) {
        if (fault.status !== undefined) throw fault;
        if (fault.name !== "AbortError") setText(this.counted, `The file cannot be written: ${fault.message}`); // else no file was picked
      } finally {
        this.saving = null;
        setText(this.save, SAVE);
      }
    });
  }

  async #saveTo(file, stopped) {
    let read = 0;
    let saved = false;
    setText(this.save, "Stop saving");
    const waits = ({ message }) => setText(this.counted, `${count(read, "entry", "entries")} read. ${message} Trying again.`);
    try {
      for await (const entries of this.reading.pages(stopped, waits)) {
        if (stopped.aborted) return;
        await file.write(linesOf(entries));
        read += entries.length;
        setText(this.counted, `${count(read, "entry", "entries")} read.`);
      }
      await file.close();
      saved = true;
    } finally {
      if (!saved) await file.abort();
      setText(this.counted, `${count(read, "entry", "entries")} ${saved ? "saved" : "read, none saved"}.`);
    }
  }

  /** Runs one request at a time: a second press while one is under way would be recorded too. */
  async #read(work) {
    if (this.working) return;
    this.working = true;
    await this.tried(work).finally(() => { this.working = false; });
  }

  #show() {
    const { entries, goesOn } = this.reading;
    this.table.show(entries);
    this.table.element.hidden = false;
    this.after.hidden = entries.length === 0;
    this.more.hidden = !goesOn;
    const number = count(entries.length, "entry", "entries");
    setText(this.counted, entries.length === 0 ? "" : goesOn ? `The newest ${number}.` : `${number}, and none older.`);
  }
}

/** It has no rows that the page reads by itself: each reading is recorded. */
export const SECTIONS = Object.freeze([{ name: "audit", title: "Audit log", rank: 95, auditors: true, view: (...given) => new AuditLog(...given) }]);
