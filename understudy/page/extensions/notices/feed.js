/** Keeps the inbox in step with the server: reads it after an event, and marks answers as read. No DOM. */

import { deciding, isNews, noted, NOTHING_OPEN, openThreads, received, seen, settled, tidied } from "./inbox.js";

const SOON_MS = 300; // events come in groups: one reading for all
const POLL_MS = 60_000; // the net under the events
const READ = "/api/inbox/read";
const MARKS = 100; // threads that the server takes in one request

export class InboxFeed {
  /**
   * `ask` is that of `extensions.js`; `command(command)` sends a command; `timers` are timers by purpose; `isVisible()` says whether somebody looks; `watch({threadId: seq})` has the server send
   * the events of these threads; `onChange(state, before)` is called with each change.
   */
  constructor({ ask, command, timers, isVisible, watch, onChange }) {
    Object.assign(this, { ask, command });
    this.timers = timers;
    this.isVisible = isVisible;
    this.watch = watch;
    this.onChange = onChange;
    this.state = NOTHING_OPEN;
    this.reading = false;
    this.stale = false;
    this.marks = new Map();
    this.skipped = false;
    this.loaded = false;
    this.off = false; // there is no inbox until the next welcome
  }

  /** The server has said welcome, perhaps another one than before. */
  begin() {
    this.off = false;
    this.refresh();
  }

  /** Reads the list, at once or after the events that come together with this one. */
  refresh(afterMs = 0) {
    if (this.off) return;
    this.stale = true;
    if (!this.reading && (afterMs === 0 || !this.timers.has("inbox"))) this.timers.set("inbox", afterMs, () => this.#read());
  }

  /** Another user has come, or nobody: nothing of the one before is kept. */
  clear() {
    this.timers.clear("inbox");
    this.timers.clear("inbox-marks");
    this.marks.clear();
    this.loaded = false;
    this.#take(NOTHING_OPEN);
  }

  /** Takes an event of any thread. */
  take(event) {
    this.#take(noted(this.state, event));
    if (isNews(event) || (this.reading && event.type === "answers_read")) this.refresh(SOON_MS);
  }

  /** Everything up to `seq` of a thread stands on the screen. Marks its answer as read, if it has one that is not. */
  seen(threadId, seq) {
    const listed = this.state.unread.find((one) => one.thread_id === threadId);
    if (!listed || seq < listed.answered_seq) return;
    this.marks.set(threadId, seq);
    this.#take(seen(this.state, { [threadId]: seq }));
    if (!this.timers.has("inbox-marks")) this.timers.set("inbox-marks", SOON_MS, () => this.#mark());
  }

  /** Marks all answers as read. Rejects when the server cannot be reached. */
  async readAll() {
    await this.ask("POST", READ, { all: true });
    this.#take(seen(this.state, null));
    this.refresh();
  }

  /** Decides about a call; resolves when the server has stored it, rejects with {message} when it is refused. */
  async decide(callId, decision, note = "", { remember = false, parameters = null } = {}) {
    this.#take(deciding(this.state, callId, decision));
    const payload = { call_id: callId, decision, ...(note && { note }), ...(remember && { remember }), ...(parameters && { parameters }) };
    try {
      await this.command({ type: "approve", payload });
      this.#take(settled(this.state, callId, { decision, note, parameters, remember }));
    } catch (fault) {
      this.#take(deciding(this.state, callId, null));
      throw fault;
    } finally {
      this.refresh(SOON_MS);
    }
  }

  /** Answers a question, null declines; rejects with {message} when the answer is refused. */
  async answer(questionId, answer) {
    const payload = { question_id: questionId, ...(answer === null ? { decline: true } : { answer }) };
    try {
      await this.command({ type: "answer", payload });
      this.#take(settled(this.state, questionId, { outcome: answer === null ? "declined" : "answered", answer }));
    } finally {
      this.refresh(SOON_MS);
    }
  }

  /** Forgets the questions that were answered: nobody looks at them any more. */
  tidy() {
    this.#take(tidied(this.state));
  }

  async #read() {
    this.reading = true;
    this.stale = false;
    try {
      const body = await this.ask("GET", "/api/inbox");
      // Something happened while it was on its way: it may be older than what events have told. Once it is read again.
      this.skipped = this.stale && !this.skipped;
      if (!this.skipped) this.#take(seen(received(this.state, body), Object.fromEntries(this.marks)));
      this.loaded = true;
      this.watch(openThreads(this.state));
    } catch (fault) {
      this.off = fault.status === 404; // switched off while the page is open; else what was known stays, and the net below tries again
    }
    this.reading = false;
    if (this.off) {
      this.clear();
      return;
    }
    if (this.stale) this.refresh(SOON_MS);
    this.timers.set("inbox-poll", POLL_MS, () => this.#poll());
  }

  #poll() {
    if (this.isVisible()) this.refresh();
    else this.timers.set("inbox-poll", POLL_MS, () => this.#poll());
  }

  async #mark() {
    const marks = [...this.marks].slice(0, MARKS);
    try {
      await this.ask("POST", READ, { threads: Object.fromEntries(marks) });
      for (const [threadId, seq] of marks) if (this.marks.get(threadId) === seq) this.marks.delete(threadId);
      if (this.marks.size > 0) this.timers.set("inbox-marks", SOON_MS, () => this.#mark());
    } catch {
      this.marks.clear(); // the next reading lists them as unread, and they are marked when they are seen again
      this.refresh(POLL_MS);
    }
  }

  #take(state) {
    if (state === this.state) return;
    const before = this.state;
    this.state = state;
    this.onChange(state, before);
  }
}
