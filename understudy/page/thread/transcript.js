/**
 * The open thread: one view a turn, brought up to date at most once a frame.
 *
 * Only turns near the visible part are in the document; gaps stand for the others. Whatever comes or goes above, what the
 * reader sees stays where it is.
 */

import { answerId, beside, older, visible } from "../client/threads/branches.js";
import { errorText, t } from "../client/messages.js";
import { spoken } from "../client/format.js";
import { TurnWindow } from "./turn_window.js";
import { isPending, isWidgetCall, LIVE } from "../client/threads/turns.js";
import { arrange, el, setText } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { OlderView } from "./around_turns.js";
import { renderer } from "../answer/renderer.js";
import { Follower } from "./scroll.js";
import { TurnView } from "./turn.js";

const ANNOUNCED_CHARACTERS = 600;
const NEAR_BEGINNING = 1.5; // heights of the visible part before the beginning at which older turns are read
const MOST_IN_USE = 8; // turns with parts that are used
const PASSES = 4; // a turn may be smaller than its gap was, so that others come near

export class Transcript {
  /**
   * `page` is what TurnView takes, `onShown(state)`, and `onOlder()`, which reads older turns; `empty` makes the element of a
   * thread without turns.
   */
  constructor(page, empty) {
    this.page = page;
    this.empty = empty;
    this.announced = new Set(); // calls whose approval, and questions whose answer, was asked for aloud
    this.views = new Map(); // key of a turn in the document -> TurnView
    this.window = new TurnWindow();
    this.live = new Set(); // keys of turns at work
    this.gaps = [];
    this.turns = [];
    this.state = null;
    this.frameRequested = false;
    this.placeholder = undefined; // "loading", "empty", null for neither
    this.list = el("div.turns", { role: "list" });
    this.older = new OlderView(() => page.onOlder(), () => this.#request());
    this.content = el("div.transcript-content", {}, this.older.element, this.list);
    this.jump = el("button.jump", { type: "button", hidden: true, "aria-label": t("transcript.jump") }, icon("down"), el("span", {}, t("transcript.latest")));
    this.scroller = el("section.transcript", { tabIndex: 0, "aria-label": t("transcript.name") }, this.content);
    this.announcer = el("div.offscreen", { role: "status", "aria-live": "polite" });
    this.element = el("div.transcript-frame", {}, this.scroller, this.jump, this.announcer);
    this.follower = new Follower(this.scroller, this.content, this.jump);
    this.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#resized()).observe(this.scroller);
    this.rendererKnown = () => this.refresh();
  }

  /** Shows another thread from its end. `loading`: its events are still to come. */
  open(state, { loading = false } = {}) {
    for (const view of this.views.values()) view.destroy();
    this.views.clear();
    this.window.clear();
    this.live.clear();
    this.older.open();
    this.state = null;
    this.loading = loading;
    this.placeholder = undefined;
    Object.assign(this.follower, { pinned: true, question: null });
    this.show(state);
    this.#render();
  }

  /** Whether the reader is at turns before the end. */
  get readsAbove() {
    return this.turns.length > 0 && !this.follower.pinned;
  }

  /** The reader's place before the end, for `returnTo`: {key, at}, a turn and its offset in px. Null at the end. */
  get place() {
    return this.readsAbove ? this.#anchor(this.turns.map(({ key }) => key)) : null;
  }

  /** Follows the answer to what was just said, or asked again. */
  follow() {
    const known = this.turns.at(-1)?.key;
    const answered = () => {
      const { key } = this.turns.at(-1) ?? {};
      return key === known ? null : this.views.get(key);
    };
    this.follower.pin(false, () => {
      const view = answered();
      if (!view) return null;
      const long = view.message.element.offsetHeight > this.scroller.clientHeight / 2; // its answer would not be seen
      if (!long) return view.element;
      return view.reply.hidden ? null : view.reply;
    }, () => [...answered()?.element.querySelectorAll("figure.chart, .approval:not([hidden])") ?? []].at(-1));
  }

  /** Goes to where something was read; false if its turn is not among the turns. */
  returnTo({ key, at }) {
    const turn = this.turns.find((one) => one.key === key);
    if (!turn) return false;
    this.follower.pinned = false;
    this.#bring(turn);
    this.#restore({ key, at });
    return true;
  }

  /** Shows this state with the next frame. */
  show(state) {
    this.next = state;
    this.#request();
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

  /** Shows anew what an empty chat offers. */
  refreshEmpty() {
    if (this.placeholder === "empty") this.refresh();
  }

  #request() {
    if (this.frameRequested) return;
    this.frameRequested = true;
    requestAnimationFrame(() => {
      this.frameRequested = false;
      if (this.next && this.next !== this.state) this.#render();
      else this.#place();
    });
  }

  /** A reader who moves needs other turns; what keeps up with an answer that grows is placed with it. */
  #scrolled() {
    if (!this.follower.pinned || this.live.size === 0) this.#request();
  }

  #resized() {
    if (this.width === this.scroller.clientWidth) return;
    this.width = this.scroller.clientWidth;
    this.window.clear(); // texts break elsewhere
    this.#request();
  }

  #render() {
    const { next } = this;
    if (next === this.state) return;
    const already = this.state !== null && !this.loading;
    this.state = next;
    this.turns = visible(next);
    if (this.turns.length > 0) renderer.load(this.rendererKnown);
    this.#showEmpty(this.turns.length === 0);
    this.#place({ update: true, already });
    this.#refocus();
    this.#announceEnds(already);
    if (already) for (const turn of this.turns.slice(-1)) this.#announceApprovals(turn);
    this.page.onShown(next);
  }

  /** Puts the turns near the visible part into the document, and gaps for the others. */
  #place({ update = false, already = false } = {}) {
    const { follower, scroller, turns } = this;
    if (turns.length === 0 || this.state === null) {
      this.older.render(false);
      this.#arrange([], []);
      return;
    }
    const keys = turns.map(({ key }) => key);
    const anchor = follower.pinned ? null : this.#anchor(keys);
    const { clientHeight } = scroller; // asked before anything changes, as all measures are where that is possible
    this.older.render(!this.loading && older(this.state) !== null);
    for (let pass = 0; pass < PASSES; pass += 1) {
      for (const [key, view] of this.views) this.window.measured(key, view.element.offsetHeight);
      const places = this.window.near(keys, this.#top(keys, anchor), clientHeight, new Set(this.views.keys()), this.#kept());
      const stays = places.length === this.views.size && places.every((place) => this.views.has(keys[place]));
      if (stays && pass > 0) break;
      for (const place of places) this.#show(turns[place], update && pass === 0, already);
      this.#arrange(keys, places);
      if (stays && anchor === null) break; // the follower keeps the end when that is laid out
      if (anchor) this.#restore(anchor);
      else follower.keep();
    }
    if (follower.last < NEAR_BEGINNING * clientHeight) this.older.near();
  }

  /** Where the visible part begins, from the beginning of the list as it will be. */
  #top(keys, anchor) {
    if (anchor === null) return this.window.total(keys) - this.scroller.clientHeight;
    return this.window.total(keys.slice(0, keys.indexOf(anchor.key))) + this.scroller.getBoundingClientRect().top - anchor.at;
  }

  /** Turns that stay in the document wherever they are: at work, with the focus, and with a part that would forget all. */
  #kept() {
    const kept = new Set(this.turns.filter(({ status }) => LIVE.has(status)).map(({ key }) => key));
    for (const [key, view] of this.views) if (view.element.contains(document.activeElement)) kept.add(key);
    const inUse = [...this.views].filter(([, { parts }]) => parts.inUse).slice(-MOST_IN_USE);
    for (const [key] of inUse) kept.add(key);
    const wanted = this.#wantedTurn();
    return wanted ? kept.add(wanted.key) : kept;
  }

  #show(turn, update, already) {
    const { state } = this;
    let view = this.views.get(turn.key);
    if (view && !update && view.turn !== null) return;
    if (!view) {
      view = new TurnView(this.page);
      view.element.setAttribute("role", "listitem");
      const begins = LIVE.has(turn.status) || isPending(turn);
      if (already && begins && !this.wanted && !this.window.heights.has(turn.key)) view.element.classList.add("is-new");
      this.views.set(turn.key, view);
    }
    view.update(turn, beside(state, turn), state.ratings[answerId(turn.runId)] ?? null);
  }

  #arrange(keys, places) {
    const shown = new Set(places.map((place) => keys[place]));
    for (const [key, view] of this.views) {
      if (shown.has(key)) continue;
      view.destroy();
      this.views.delete(key);
    }
    const gaps = this.window.gaps(keys, places);
    const children = [];
    gaps.forEach((height, index) => {
      if (height > 0) children.push(this.#gap(index, height));
      if (index < places.length) children.push(this.views.get(keys[places[index]]).element);
    });
    arrange(this.list, children);
    this.gaps.length = Math.min(this.gaps.length, gaps.length);
  }

  #gap(index, height) {
    this.gaps[index] ??= el("div.turn-gap", { "aria-hidden": "true" });
    this.gaps[index].style.blockSize = `${height}px`;
    return this.gaps[index];
  }

  /** A turn that the reader sees, and where: it stays there. */
  #anchor(keys) {
    const { top } = this.scroller.getBoundingClientRect();
    for (const key of keys) {
      const rect = this.views.get(key)?.element.getBoundingClientRect();
      if (rect && rect.bottom > top && rect.top < top + this.scroller.clientHeight) return { key, at: rect.top };
    }
    const { place, offset } = this.window.at(keys, top - this.list.getBoundingClientRect().top); // in a gap
    return { key: keys[place], at: top - offset };
  }

  #restore({ key, at }) {
    const view = this.views.get(key);
    if (!view) return;
    const moved = view.element.getBoundingClientRect().top - at;
    if (Math.abs(moved) >= 1) this.scroller.scrollTop += moved;
    this.follower.moved();
  }

  /** Another branch is about to be shown: the reader stays where they are, on the switch of the same message. */
  hold({ messageId, key }, by, what) {
    this.follower.pinned = false;
    this.wanted = { messageId, key, by, what };
  }

  #wantedTurn() {
    if (!this.wanted) return null;
    const { messageId, key } = this.wanted;
    return this.turns.find((one) => one.key === key) ?? this.turns.find((one) => one.messageId === messageId) ?? null;
  }

  /** Shows a message, or an answer, at the top of the visible part; resolves to false if it is not among the turns. */
  async reveal(messageId) {
    await new Promise((resolve) => { requestAnimationFrame(resolve); }); // what was read last is drawn by then
    const turn = (this.turns ?? []).find((one) => one.messageId === messageId || answerId(one.runId) === messageId);
    if (!turn) return false;
    this.follower.pinned = false;
    this.#bring(turn);
    const { element } = this.views.get(turn.key);
    element.scrollIntoView({ block: "start" });
    this.follower.moved();
    element.classList.add("is-found");
    element.addEventListener("animationend", () => element.classList.remove("is-found"), { once: true });
    element.tabIndex = -1;
    element.focus({ preventScroll: true });
    return true;
  }

  /** Puts a turn into the document, wherever it is. */
  #bring({ messageId, key }) {
    this.wanted = { messageId, key };
    this.#place();
    this.wanted = null;
  }

  /** Opens the editor of the last message, if it can be edited; true then. `onOver()` is called when it has closed. */
  editLast(onOver) {
    const turn = (this.turns ?? []).findLast((one) => one.runId !== null && one.content !== "" && !isWidgetCall(one));
    const view = turn && this.views.get(turn.key);
    view?.message.edit(onOver);
    return Boolean(view);
  }

  #refocus() {
    const turn = this.#wantedTurn();
    if (!turn) return;
    const { by, what } = this.wanted;
    this.wanted = null;
    this.views.get(turn.key).focusVersions(what, by);
  }

  /** Says how turns ended that were at work. */
  #announceEnds(already) {
    const live = new Set(this.turns.filter(({ status }) => LIVE.has(status)).map(({ key }) => key));
    if (already) for (const turn of this.turns) if (this.live.has(turn.key) && !live.has(turn.key) && !isWidgetCall(turn)) this.#announce(turn);
    this.live = live;
  }

  #announceApprovals(turn) {
    for (const { callId, tool, approval } of turn.steps) {
      if (approval?.state !== "open" || this.announced.has(callId)) continue;
      this.announced.add(callId);
      setText(this.announcer, t("transcript.approval_wanted", { tool }));
    }
    for (const { id, title, state } of turn.questions) {
      if (state !== "open" || this.announced.has(id)) continue;
      this.announced.add(id);
      setText(this.announcer, t("transcript.answer_wanted", { title }));
    }
  }

  #announce(turn) {
    const who = this.page.agents.title(turn.agentType, turn.pillar);
    const text = (turn.error && errorText(turn.error)) ?? this.views.get(turn.key)?.answer.words(ANNOUNCED_CHARACTERS) ?? "";
    setText(this.announcer, turn.status === "cancelled" ? t("transcript.stopped") : t("transcript.said", { who, text: spoken(text, ANNOUNCED_CHARACTERS) }));
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
  return el("div.skeleton", { role: "status", "aria-label": t("transcript.loading") }, ...["right", "long", "mid", "short"].map((kind) => el(`span.bone.bone-${kind}`)));
}
