/** The tree and the incidents of one server, kept up to date by its stream of changes. */

import { Toasts } from "../elements/dialog.js";
import { el, setText } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { Details, Incidents } from "./details.js";
import { Forest } from "./forest.js";
import { STATES, above } from "./labels.js";
import { Tree } from "./tree.js";

const REFRESH_MS = 4000; // interval of reading ages, mailboxes and other values that no change event reports
const COALESCE_MS = 400; // many changes below one actor are one refresh
const FILTER_DELAY_MS = 250;
const RETRY_MS = [1000, 2000, 5000, 10_000];
const MAX_MATCHES = 200;
const REASONS = { signed_out: "You have signed out.", token_expired: "That token has run out." };

export class Board {
  /**
   * `onRefused(sentence)`: the token is not, or no longer, enough. `onPhase(phase, word)` is told whether the stream is
   * there, `counters` get its numbers.
   */
  constructor(api, { onRefused, onPhase, counters }) {
    Object.assign(this, { api, onRefused, onPhase, counters });
    this.forest = new Forest();
    this.found = null; // a Forest, while there is a filter
    this.toRefresh = new Set();
    this.aborter = new AbortController();
    this.#build();
  }

  #build() {
    this.tree = new Tree({ toggle: (path, open) => this.#toggle(path, open), more: (path) => this.#more(path), pick: () => this.#showPicked() });
    this.incidents = new Incidents((path) => this.reveal(path));
    this.details = new Details((path, part) => this.#kill(path, part));
    this.toasts = new Toasts();
    this.text = el("input", { type: "search", placeholder: "Filter by path", "aria-label": "Filter by path", autocomplete: "off", spellcheck: false, oninput: () => this.#typed() });
    this.state = el("select", { "aria-label": "State", onchange: () => this.#filter() }, el("option", { value: "" }, "Any state"),
      ["running", "backing_off", "starting", "stopping"].map((value) => el("option", { value }, STATES[value])));
    this.result = el("p.result", { role: "status", hidden: true });
    this.element = el("div.panes", {},
      el("section.pane", { "aria-label": "Tree" },
        el("div.tools", { role: "search" }, el("div.search", {}, icon("search"), this.text), this.state), this.result, this.tree.element),
      el("aside.side", {}, this.details.element, this.incidents.element));
  }

  async start() {
    this.timer = setInterval(() => document.visibilityState === "visible" && this.#refreshAll(), REFRESH_MS);
    this.forest.open.add("/system");
    for (let tries = 0; !this.aborter.signal.aborted; tries += 1) {
      const began = Date.now();
      try {
        await this.api.follow((event) => this.#handle(event), this.aborter.signal);
      } catch (refused) {
        if (refused.status === 401 || refused.status === 403) this.onRefused(refused.message);
      }
      if (this.aborter.signal.aborted) return;
      if (Date.now() - began > 10_000) tries = 0;
      this.onPhase("offline", "Connecting again");
      await new Promise((resolve) => { setTimeout(resolve, RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]); });
    }
  }

  stop() {
    this.aborter.abort();
    clearInterval(this.timer);
    clearInterval(this.tree.timer);
    this.element.remove();
  }

  // The stream

  #handle({ kind, data }) {
    if (kind === "hello") this.#hello(data);
    else if (kind === "changes") this.#changed(data);
    else if (kind === "resync") this.#refreshAll();
    else if (kind === "incident") this.#incident(data);
    else if (kind === "counts") this.counters.show(data);
    else if (kind === "end" && REASONS[data.reason]) this.onRefused(REASONS[data.reason]);
  }

  #hello({ may_kill: mayKill, counts, incidents }) {
    this.onPhase("online", "Live");
    this.details.mayKill = mayKill;
    this.counters.show(counts);
    this.incidents.reset(incidents);
    this.#refreshAll();
  }

  #incident(incident) {
    this.incidents.add(incident);
    this.counters.set("incidents", incident.number);
  }

  #changed(data) {
    const restarted = [];
    for (const change of data.changes) {
      const todo = this.forest.change(change, Date.now());
      if (todo.ask) this.#planRefresh(todo.ask);
      const found = this.found?.change(change, Date.now());
      if (todo.restarted || found?.restarted) restarted.push(change.path);
    }
    this.forest.counted(data);
    this.found?.counted(data);
    this.#draw();
    const rows = this.#rows();
    new Set(restarted.map((path) => this.#shown.visible(path, rows))).forEach((path) => this.tree.flash(path));
  }

  // Refreshing

  get #shown() {
    return this.found ?? this.forest;
  }

  #rows() {
    return this.#shown.rows({ all: this.found !== null });
  }

  #refreshAll() {
    if (this.filtered) this.#filter();
    else this.forest.open.forEach((path) => this.#planRefresh(path, 0));
  }

  #planRefresh(path, after = COALESCE_MS) {
    this.toRefresh.add(path);
    this.refreshTimer ??= setTimeout(() => this.#refresh(), after);
  }

  async #refresh() {
    while (this.toRefresh.size > 0) {
      const [path] = this.toRefresh;
      this.toRefresh.delete(path);
      await this.#ask({ path, levels: 1, limit: this.forest.limit(path) }, (answer) => this.forest.take(answer.tree, Date.now()), () => this.forest.change({ path, gone: path !== "/system" }));
      this.#draw();
    }
    this.refreshTimer = null;
  }

  async #ask(query, onAnswer, onMissing = () => {}) {
    try {
      onAnswer(await this.api.tree(query));
    } catch (refused) {
      if (refused.status === 401 || refused.status === 403) this.onRefused(refused.message);
      else if (refused.status === 404) onMissing();
    }
  }

  get filtered() {
    return this.text.value.trim() !== "" || this.state.value !== "";
  }

  #typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.#filter(), FILTER_DELAY_MS);
  }

  async #filter() {
    const [text, state] = [this.text.value.trim(), this.state.value];
    if (!this.filtered) {
      const kept = this.found !== null;
      this.found = null;
      this.result.hidden = true;
      this.#draw();
      if (kept) this.#refreshAll();
      return;
    }
    await this.#ask({ text, ...(state && { state }), limit: MAX_MATCHES }, ({ tree, found, more }) => {
      if (text !== this.text.value.trim() || state !== this.state.value) return; // an answer to an earlier question
      this.found = (this.found ?? new Forest()).take(tree, Date.now(), { whole: true });
      this.result.hidden = false;
      setText(this.result, more ? `The first ${found} that fit` : found === 0 ? "Nobody fits" : `${found} ${found === 1 ? "fits" : "fit"}`);
      this.#draw();
    });
  }

  // Showing

  #draw() {
    this.drawing ??= requestAnimationFrame(() => this.#drawNow());
    if (document.visibilityState !== "visible") this.#drawNow(); // no frames come then
  }

  #drawNow() {
    cancelAnimationFrame(this.drawing);
    this.drawing = null;
    this.tree.show(this.#rows(), this.#shown);
    this.#showPicked();
  }

  #showPicked() {
    this.details.show(this.#shown.nodes.get(this.tree.picked));
  }

  #toggle(path, open) {
    if (this.found !== null) return; // all that fits is open
    if (open) {
      this.forest.open.add(path);
      this.#planRefresh(path, 0);
    } else {
      this.forest.open.delete(path);
    }
    this.#draw();
  }

  #more(path) {
    this.forest.widen(path);
    this.#planRefresh(path, 0);
  }

  /** Opens what is above an actor and picks it, or the nearest that is alive. */
  async reveal(path) {
    this.text.value = this.state.value = "";
    await this.#filter();
    const trail = [];
    for (let at = above(path); at; at = above(at)) trail.unshift(at);
    for (const each of trail) {
      this.forest.open.add(each);
      await this.#ask({ path: each, levels: 1, limit: this.forest.limit(each) }, (answer) => this.forest.take(answer.tree, Date.now()), () => this.forest.open.delete(each));
    }
    this.#drawNow();
    this.tree.pick(this.forest.visible(path, this.#rows()));
  }

  async #kill(path, part) {
    try {
      await this.api.kill(path, part);
    } catch (refused) {
      this.toasts.show(refused.message);
    }
  }
}
