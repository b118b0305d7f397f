/** Views in place of turns: for an empty chat, for a missing one, and the button for older turns. */

import { monogram } from "../composer/agents.js";
import { t, errorText } from "../client/messages.js";
import { el, setText } from "../elements/dom.js";
import { humanised } from "../client/format.js";
import { icon } from "../elements/icons.js";

// The view of an empty chat: the agent, and a few example requests.

/** `agent` as in GET /api/agents; `onStarter({text, tool, arguments})` begins with it; `first` is a `firstVisit`, null for all others. */
export function emptyChat(agent, onStarter, first = null) {
  const title = agent.title || humanised(agent.name);
  const starters = agent.starters ?? [];
  return el("div.empty", {},
    monogram(title, agent.agent_type, agent.pillar),
    el("h2", {}, agent.agent_type === "guide" ? t("chat.ask_what") : title),
    el("p", {}, first?.line ?? agent.description ?? ""),
    first?.demos,
    starters.length > 0 && el("ul.starters", { "aria-label": t("chat.starters") }, starters.slice(0, 4).map((starter) => el("li", {},
      el("button.starter", { type: "button", onclick: () => onStarter(starter) }, starter.text)))));
}

// The view of a chat that the server does not have, or does not give to this user.

/** `onCreate()` begins a new chat. */
export function missingChat(onCreate) {
  return el("div.empty.missing", { role: "status" },
    el("h2", {}, t("chat.missing")),
    el("p", {}, t("chat.missing_hint")),
    el("button.primary", { type: "button", onclick: onCreate }, icon("plus"), t("chat.new")));
}

// The beginning of what is there of a thread: reads the turns before it, for readers who come near and by a button.

export class OlderView {
  /**
   * `load()` reads older turns: it resolves to whether there were any, and rejects with {code, message}. `onChange()`: it
   * is to be rendered, when the place of what the reader sees is known.
   */
  constructor(load, onChange) {
    Object.assign(this, { load, onChange, more: false });
    this.button = el("button.secondary", { type: "button", onclick: () => this.read() }, t("transcript.older"));
    this.note = el("p.hint", { role: "status" });
    this.element = el("div.older", { hidden: true }, this.button, this.note);
    this.open();
  }

  /** Another thread is shown. */
  open() {
    Object.assign(this, { loading: false, fault: null, began: false, round: Symbol("round") });
  }

  /** `more`: there are older turns. */
  render(more) {
    this.more = more;
    this.element.hidden = !more && !this.began;
    this.button.hidden = !more;
    this.button.setAttribute("aria-disabled", String(this.loading));
    setText(this.note, this.#said());
  }

  #said() {
    if (!this.more) return this.began ? t("transcript.beginning") : "";
    if (this.fault !== null) return t("transcript.older_failed", { why: errorText(this.fault) });
    return this.loading ? t("transcript.older_loading") : "";
  }

  /** The reader is near: reads, unless that is under way or has just failed. */
  near() {
    if (this.more && this.fault === null) this.read();
  }

  async read() {
    if (this.loading) return;
    const { round } = this;
    Object.assign(this, { loading: true, fault: null });
    this.onChange();
    let fault = null;
    await this.load().catch((thrown) => { fault = thrown; });
    if (round !== this.round) return;
    Object.assign(this, { loading: false, fault, began: this.began || fault === null });
    this.onChange();
  }
}
