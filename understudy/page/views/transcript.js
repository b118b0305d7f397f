/** The open thread: one view a turn, brought up to date at most once a frame. */

import { answerId, beside, visible } from "../client/branches.js";
import { LIVE } from "../client/turns.js";
import { arrange, el, setText } from "./dom.js";
import { icon } from "./icons.js";
import { Follower } from "./scroll.js";
import { TurnView } from "./turn.js";

const ANNOUNCED_CHARACTERS = 600;

export class Transcript {
  /**
   * `page` is what TurnView takes, and `onShown(state)`; `empty` makes the element of a thread without turns.
   */
  constructor(page, empty) {
    this.page = page;
    this.empty = empty;
    this.announced = new Set(); // calls whose approval, and questions whose answer, was asked for aloud
    this.views = new Map(); // key of a turn -> TurnView
    this.state = null;
    this.frameRequested = false;
    this.placeholder = undefined; // "loading", "empty", null for neither
    this.list = el("div.turns", { role: "list" });
    this.cut = el("p.hint.cut", { hidden: true }, "Older messages of this chat are not shown here.");
    this.content = el("div.transcript-content", {}, this.cut, this.list);
    this.jump = el("button.jump", { type: "button", hidden: true, "aria-label": "Jump to latest" }, icon("down"), el("span", {}, "Latest"));
    this.scroller = el("section.transcript", { tabIndex: 0, "aria-label": "Conversation" }, this.content);
    this.announcer = el("div.offscreen", { role: "status", "aria-live": "polite" });
    this.element = el("div.transcript-frame", {}, this.scroller, this.jump, this.announcer);
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
    if (this.frameRequested) return;
    this.frameRequested = true;
    requestAnimationFrame(() => {
      this.frameRequested = false;
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
    for (const view of this.views.values()) view.stale();
    this.state = null;
    if (this.next) this.show(this.next);
  }

  #render() {
    const { next, state } = this;
    if (next === state) return;
    const already = state !== null && !this.loading;
    this.state = next;
    const turns = visible(next);
    const wanted = turns.map((turn) => this.#view(next, turn, already));
    const keys = new Set(turns.map((turn) => turn.key));
    for (const [key, view] of this.views) {
      if (keys.has(key)) continue;
      view.destroy();
      this.views.delete(key);
    }
    arrange(this.list, wanted.map((view) => view.element));
    this.cut.hidden = !next.cut;
    this.#showEmpty(turns.length === 0);
    this.follower.keep();
    this.#refocus(turns);
    if (already) for (const turn of turns.slice(-1)) this.#announceApprovals(turn);
    this.page.onShown(next);
  }

  /** Another branch is about to be shown: the reader stays where they are, on the switch of the same message. */
  hold({ messageId, key }, by, what) {
    this.follower.pinned = false;
    this.wanted = { messageId, key, by, what };
  }

  #refocus(turns) {
    if (!this.wanted) return;
    const { messageId, key, by, what } = this.wanted;
    const turn = turns.find((one) => one.key === key) ?? turns.find((one) => one.messageId === messageId);
    if (!turn) return;
    this.wanted = null;
    this.views.get(turn.key).focusVersions(what, by);
  }

  #view(state, turn, already) {
    let view = this.views.get(turn.key);
    if (!view) {
      view = new TurnView(this.page);
      view.element.setAttribute("role", "listitem");
      if (already && !this.wanted) view.element.classList.add("is-new");
      this.views.set(turn.key, view);
    }
    const wasLive = view.turn !== null && LIVE.has(view.turn.status);
    view.update(turn, beside(state, turn), state.ratings[answerId(turn.runId)] ?? null);
    if (already && wasLive && !LIVE.has(turn.status)) this.#announce(turn);
    return view;
  }

  #announceApprovals(turn) {
    for (const { callId, tool, approval } of turn.steps) {
      if (approval?.state !== "open" || this.announced.has(callId)) continue;
      this.announced.add(callId);
      setText(this.announcer, `Waiting for your approval to use ${tool}.`);
    }
    for (const { id, title, state } of turn.questions) {
      if (state !== "open" || this.announced.has(id)) continue;
      this.announced.add(id);
      setText(this.announcer, `Waiting for your answer: ${title}.`);
    }
  }

  #announce(turn) {
    const who = this.page.agents.title(turn.agentType, turn.pillar);
    const text = turn.error?.message ?? turn.final?.message ?? "";
    setText(this.announcer, turn.status === "cancelled" ? "Stopped." : `${who}: ${text.slice(0, ANNOUNCED_CHARACTERS)}`);
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
