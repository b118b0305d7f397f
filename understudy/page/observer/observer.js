/** The frame of the operators' page: its views, the search over all of them, and the age of what is shown. */

import { ROOT } from "../client/address.js";
import { el, setText } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { Board } from "./board.js";
import { FindView, HealthView, PeopleView, RunsView } from "./sheets.js";
import { RunView } from "./run.js";

const REFRESH_MS = 2000;
const VIEWS = Object.freeze({ tree: "Tree", runs: "Runs", people: "Users", health: "Health" });

export class Observer {
  /** `onRefused(sentence)`: the token is not, or no longer, enough. Somebody `anonymous` cannot sign in again, and so not sign out. */
  constructor(api, onRefused, { anonymous }) {
    Object.assign(this, { api, onRefused });
    this.counters = new Counters();
    this.reading = 0; // reads under way
    this.board = new Board(api, { onRefused, onPhase: (phase, word) => this.#phase(phase, word), counters: this.counters });
    this.run = new RunView(api, () => this.#go("runs"));
    this.views = {
      tree: this.board, runs: new RunsView(api, (id) => this.#go(`run/${id}`)), people: new PeopleView(api, ({ user }) => this.#find(user)), health: new HealthView(api),
      run: this.run,
      find: new FindView(api, { run: (id) => this.#go(`run/${id}`), text: (text) => this.#find(text), actor: (path) => this.#reveal(path) }),
    };
    this.#build(anonymous);
    this.onHash = () => this.#open();
  }

  #build(anonymous) {
    this.word = el("span.status-word", {}, "Connecting");
    this.status = el("div.status", { role: "status", "data-phase": "connecting" }, el("span.status-dot", { "aria-hidden": "true" }), this.word);
    this.links = Object.entries(VIEWS).map(([name, title]) => el("a.view-link", { href: `#${name}`, "data-view": name }, title));
    this.text = el("input", { type: "search", placeholder: "User, thread, run or error id", "aria-label": "Find a user, thread, run or error id", maxLength: 200, autocomplete: "off", spellcheck: false });
    const find = el("form.search.find", { role: "search", onsubmit: (event) => { event.preventDefault(); this.#find(this.text.value.trim()); } }, icon("search"), this.text);
    this.stage = el("main.view");
    this.element = el("div.observer", {},
      el("header.topbar", {}, el("h1", {}, "Observer"), this.status, el("a.quiet", { href: `${ROOT}/` }, "Chat"),
        !anonymous && el("button.quiet", { type: "button", onclick: () => this.onRefused(null) }, "Sign out")),
      this.counters.element,
      el("div.views", {}, el("nav", { "aria-label": "Views" }, this.links), find),
      this.stage, this.board.toasts.element);
  }

  start() {
    addEventListener("hashchange", this.onHash);
    this.timer = setInterval(() => document.visibilityState === "visible" && this.#refresh(), REFRESH_MS);
    this.board.start();
    this.#open();
  }

  stop() {
    removeEventListener("hashchange", this.onHash);
    clearInterval(this.timer);
    this.run.stop();
    this.board.stop();
    this.element.remove();
  }

  #phase(phase, word) {
    this.status.dataset.phase = phase;
    setText(this.word, word);
  }

  #go(place) {
    if (location.hash === `#${place}`) this.#open();
    else location.hash = place;
  }

  #find(text) {
    if (text) this.#go(`find/${encodeURIComponent(text)}`);
  }

  #reveal(path) {
    this.#go("tree");
    this.board.reveal(path);
  }

  #open() {
    const [name, ...rest] = location.hash.slice(1).split("/");
    this.shown = Object.hasOwn(this.views, name) ? name : "tree";
    this.run.stop();
    const view = this.views[this.shown];
    this.stage.replaceChildren(view.element);
    for (const link of this.links) {
      const current = link.dataset.view === this.shown || (this.shown === "run" && link.dataset.view === "runs");
      if (current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.#asked(() => (view.open && rest.length > 0 ? view.open(decodeURIComponent(rest.join("/"))) : view.refresh?.()));
  }

  /** Reads the shown view again, but not a run whose past is played back. */
  #refresh() {
    const view = this.views[this.shown];
    if (this.reading > 0 || this.shown === "find" || (this.shown === "run" && this.run.run?.ended_at !== null)) return;
    this.#asked(() => view.refresh?.());
  }

  async #asked(read) {
    this.reading += 1;
    try {
      await read();
    } catch (refused) {
      if (refused.status === 401 || refused.status === 403) this.onRefused(refused.message);
      else if (refused.status === undefined) throw refused;
      else if (refused.status !== 0) this.board.toasts.show(refused.message); // the tree's stream says that it is offline
    } finally {
      this.reading -= 1;
    }
  }
}

// The numbers that an operator looks at first.

const NAMES = Object.freeze({
  connections: "Connections", conversations: "Conversations", runs: "Runs at work", runs_waiting: "Runs waiting",
  writes_waiting: "Writes queued", readers_at_work: "Readers busy", reads_waiting: "Reads queued", incidents: "Incidents",
  dead_letters: "Dead letters",
});

export class Counters {
  constructor() {
    this.values = new Map(Object.keys(NAMES).map((name) => [name, el("dd", {}, "–")]));
    this.element = el("section", { "aria-label": "Counts" }, // a landmark: a list alone would stand outside of all
      el("dl.counters", {}, [...this.values].map(([name, value]) => el("div", {}, el("dt", {}, NAMES[name]), value))));
  }

  show(counts) {
    for (const name of this.values.keys()) this.set(name, counts[name] ?? 0);
  }

  set(name, count) {
    setText(this.values.get(name), count.toLocaleString("en"));
  }
}
