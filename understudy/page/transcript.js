/** The open thread: one view a turn, brought up to date at most once a frame. */

import { LIVE } from "./conversation.js";
import { arrange, el, setText } from "./dom.js";
import { icon } from "./icons.js";
import { Follower } from "./scroll.js";
import { TurnView } from "./turn.js";

const SPOKEN_CHARACTERS = 600;

export class Transcript {
  /** `page` is what TurnView takes; `empty` makes the element of a thread without turns. */
  constructor(page, empty) {
    this.page = page;
    this.empty = empty;
    this.views = new Map(); // message id -> TurnView
    this.state = null;
    this.asked = false;
    this.placeholder = undefined; // "loading", "empty", null for neither
    this.list = el("div.turns", { role: "list" });
    this.content = el("div.transcript-content", {}, this.list);
    this.jump = el("button.jump", { type: "button", hidden: true, "aria-label": "Jump to latest" }, icon("down"), el("span", {}, "Latest"));
    this.scroller = el("section.transcript", { tabIndex: 0, "aria-label": "Conversation" }, this.content);
    this.spoken = el("div.offscreen", { role: "status", "aria-live": "polite" });
    this.element = el("div.transcript-frame", {}, this.scroller, this.jump, this.spoken);
    this.follower = new Follower(this.scroller, this.content, this.jump);
  }

  /** Shows another thread from its end. `loading`: its events are still to come. */
  open(state, { loading = false } = {}) {
    for (const view of this.views.values()) view.destroy();
    this.views.clear();
    this.state = null;
    this.loading = loading;
    this.placeholder = undefined;
    this.show(state);
    this.#render();
  }

  /** Shows this state with the next frame. */
  show(state) {
    this.next = state;
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.#render();
    });
  }

  settled() {
    if (!this.loading) return;
    this.loading = false;
    this.state = null;
    this.show(this.next);
  }

  /** Shows everything once more: what agents or files are called has changed. */
  refresh() {
    for (const view of this.views.values()) Object.assign(view, { turn: null, whoKey: null });
    this.state = null;
    if (this.next) this.show(this.next);
  }

  #render() {
    const { next, state } = this;
    if (next === state) return;
    const already = state !== null && !this.loading;
    this.state = next;
    const wanted = next.turns.map((turn) => this.#view(turn, already));
    for (const [id, view] of this.views) {
      if (!next.turns.some((turn) => turn.messageId === id)) {
        view.destroy();
        this.views.delete(id);
      }
    }
    arrange(this.list, wanted.map((view) => view.element));
    this.#showEmpty(next.turns.length === 0);
    this.follower.keep();
  }

  #view(turn, already) {
    let view = this.views.get(turn.messageId);
    if (!view) {
      view = new TurnView(this.page);
      view.element.setAttribute("role", "listitem");
      if (already) view.element.classList.add("is-new");
      this.views.set(turn.messageId, view);
    }
    const wasLive = view.turn !== null && LIVE.has(view.turn.status);
    view.update(turn);
    if (already && wasLive && !LIVE.has(turn.status)) this.#speak(turn);
    return view;
  }

  #speak(turn) {
    const who = this.page.agents.title(turn.agentType, turn.pillar);
    const text = turn.error?.message ?? turn.final?.message ?? "";
    setText(this.spoken, turn.status === "cancelled" ? "Stopped." : `${who}: ${text.slice(0, SPOKEN_CHARACTERS)}`);
  }

  #showEmpty(none) {
    const wanted = !none ? null : this.loading ? "loading" : "empty";
    if (wanted === this.placeholder && wanted !== "empty") return;
    if (wanted !== this.placeholder) this.follower.pinned = wanted === null; // an empty chat is read from its top
    this.follower.idle = wanted !== null;
    this.placeholder = wanted;
    this.content.querySelector(":scope > .placeholder")?.remove();
    if (wanted === null) return;
    const inner = wanted === "loading" ? skeleton() : this.empty();
    this.content.append(el("div.placeholder", {}, inner));
  }
}

function skeleton() {
  return el("div.skeleton", { role: "status", "aria-label": "Loading the chat" }, ...["right", "long", "mid", "short"].map((kind) => el(`span.bone.bone-${kind}`)));
}
