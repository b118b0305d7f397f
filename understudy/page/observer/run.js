/** The view of one run: its user, times and cost, and its timeline, which can be played back. */

import { el, freshId, setText } from "../elements/dom.js";
import { shape } from "../elements/icons.js";
import { duration } from "../client/format.js";
import { count, KINDS, seconds } from "./labels.js";

const LINE = 26; // pixels a line is high
const SCALE = 24;
const NAMES = 220;
const WIDTH = 1000;
const STEPS = 1000; // of the slider
const FRAME_MS = 50;
const PLAY_MS = 8000; // the whole of a run is played back in

export class RunView {
  /** `api.run(id)` reads it; `onBack()` leads to the list. */
  constructor(api, onBack) {
    this.api = api;
    this.title = el("h2.run-title", { tabIndex: -1 });
    this.facts = el("dl.facts.run-facts");
    this.picture = el("div.timeline", { tabIndex: 0, role: "region", "aria-label": "Timeline" });
    const id = freshId("moment");
    this.slider = el("input.moment", { id, type: "range", min: "0", max: String(STEPS), value: String(STEPS), oninput: () => this.#seek() });
    this.moment = el("output.moment-text", { for: id });
    this.play = el("button.secondary", { type: "button", onclick: () => this.#toggle() }, "Play");
    this.replay = el("div.replay", {}, this.play, el("label", { for: id }, "Moment"), this.slider, this.moment);
    this.list = el("ol.spans", { "aria-label": "Steps" });
    this.fault = el("p.fault", { role: "alert", hidden: true });
    this.element = el("section.run", { "aria-label": "Run" },
      el("div.run-head", {}, el("button.link", { type: "button", onclick: onBack }, "All runs"), this.title), this.fault, this.facts, this.picture, this.replay, this.list);
  }

  async open(runId) {
    this.stop();
    this.runId = runId;
    this.slider.value = String(STEPS);
    setText(this.title, `Run ${runId}`);
    await this.refresh();
    this.title.focus();
  }

  async refresh() {
    const { runId } = this;
    try {
      const run = await this.api.run(runId);
      if (runId === this.runId) this.#show(run);
    } catch (refused) {
      if (runId === this.runId) this.#refused(refused.message);
    }
  }

  /** Ends a playback. */
  stop() {
    clearInterval(this.timer);
    this.timer = null;
    setText(this.play, "Play");
  }

  #refused(sentence) {
    this.fault.hidden = false;
    setText(this.fault, sentence);
    for (const part of [this.facts, this.picture, this.list]) part.replaceChildren();
    this.replay.hidden = true;
  }

  #show(run) {
    this.run = run;
    this.fault.hidden = true;
    this.now = Date.now() / 1000;
    const { begin, length } = extent(run, this.now);
    Object.assign(this, { begin, length });
    this.rows = lines(run, this.now);
    const rows = [
      ["User", run.tenant ? `${run.user} of ${run.tenant}` : run.user], ["Thread", run.thread_id], ["Agent", run.agent], ["Status", run.status],
      ["Began", new Date(run.started_at * 1000).toLocaleString()], ["Took", duration(length * 1000)],
      ["Tokens", run.tokens.toLocaleString("en")], ...(run.attempts > 0 ? [["Resumed", `${run.attempts} times`]] : []),
      ...(run.waits_for ? [["Waits for", run.waits_for]] : []),
    ];
    this.facts.replaceChildren(...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
    this.picture.replaceChildren(this.#drawn());
    this.list.replaceChildren(...this.rows.map(({ span, level }) => {
      const item = el("li", { "data-kind": span.kind }, el("span.span-name", {}, label(span)), el("span.span-time", {}, described(span, begin, this.now)));
      item.style.setProperty("--level", String(level));
      return item;
    }));
    this.replay.hidden = this.rows.length === 0;
    this.#seek();
  }

  #drawn() {
    const height = SCALE + this.rows.length * LINE;
    const svg = shape("svg", { viewBox: `0 0 ${NAMES + WIDTH} ${height}`, width: NAMES + WIDTH, height, role: "img", "aria-label": `${this.rows.length} spans in ${duration(this.length * 1000)}` });
    for (const { at, seconds: passed } of ticks(this.length)) {
      const x = NAMES + at * (WIDTH - 40);
      svg.append(shape("line", { x1: x, x2: x, y1: SCALE - 6, y2: height, class: "tick" }), text(x + 3, SCALE - 9, seconds(passed), "tick-text"));
    }
    this.bars = this.rows.map(({ span, level, from, to }, index) => {
      const y = SCALE + index * LINE;
      const bar = shape("rect", { x: NAMES + from * (WIDTH - 40), y: y + 5, width: Math.max((to - from) * (WIDTH - 40), 3), height: LINE - 10, rx: 3, class: `bar bar-${span.kind}${failed(span) ? " bar-failed" : ""}` });
      const hint = shape("title", {});
      hint.textContent = `${label(span)}: ${described(span, this.begin, this.now)}`;
      bar.append(hint);
      svg.append(text(level * 14, y + LINE - 8, clipped(label(span), 30 - level * 2), "bar-name"), bar);
      return bar;
    });
    this.hand = shape("line", { y1: SCALE - 6, y2: height, class: "hand" });
    svg.append(this.hand);
    return svg;
  }

  #seek() {
    const share = Number(this.slider.value) / STEPS;
    const moment = share === 1 ? Infinity : this.begin + share * this.length;
    setText(this.moment, duration(share * this.length * 1000) || "0 s");
    const x = NAMES + share * (WIDTH - 40);
    this.hand.setAttribute("x1", x);
    this.hand.setAttribute("x2", x);
    this.rows.forEach(({ span }, index) => {
      const phase = phaseAt(span, moment);
      this.bars[index].classList.toggle("is-before", phase === "before");
      this.list.children[index].dataset.phase = moment === Infinity && span.ended !== null ? "after" : phase;
    });
  }

  #toggle() {
    if (this.timer) {
      this.stop();
      return;
    }
    if (Number(this.slider.value) === STEPS) this.slider.value = "0";
    setText(this.play, "Pause");
    this.timer = setInterval(() => {
      this.slider.value = String(Math.min(Number(this.slider.value) + (STEPS * FRAME_MS) / PLAY_MS, STEPS));
      this.#seek();
      if (Number(this.slider.value) === STEPS) this.stop();
    }, FRAME_MS);
  }
}

function label({ kind, name }) {
  return name ? `${KINDS[kind] ?? kind} ${name}` : KINDS[kind] ?? kind;
}

function failed({ status }) {
  return status === "failed" || status === "timed_out" || status === "killed" || status === "denied";
}

function described(span, begin, now) {
  const took = duration(((span.ended ?? now) - span.began) * 1000);
  const parts = [`at ${seconds(span.began - begin)}`, `${span.ended === null ? "since" : "for"} ${took}`, span.status];
  if (span.tokens !== undefined) parts.push(count(span.tokens, "token"));
  return parts.filter(Boolean).join(", ");
}

function clipped(name, most) {
  return name.length > most ? `${name.slice(0, most - 1)}…` : name;
}

function text(x, y, content, name) {
  const element = shape("text", { x, y, class: name });
  element.textContent = content;
  return element;
}

// The layout of a run's timeline: one line a span, below what it is part of.

const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600];
const MOST_TICKS = 8;

/** Spans as lines in the order of a tree: {span, level, from, to} with shares of the whole, 0 to 1. */
export function lines({ spans, marks }, now) {
  const { begin, length } = extent({ spans, marks }, now);
  const below = new Map();
  const keys = new Set(spans.map(({ key }) => key));
  for (const span of spans) {
    const parent = keys.has(span.parent) && span.parent !== span.key ? span.parent : null;
    if (!below.has(parent)) below.set(parent, []);
    below.get(parent).push(span);
  }
  const found = [];
  const visit = (key, level) => {
    for (const span of below.get(key) ?? []) {
      const to = span.ended ?? now;
      found.push({ span, level, from: (span.began - begin) / length, to: Math.max((to - begin) / length, 0) });
      visit(span.key, level + 1);
    }
  };
  visit(null, 0);
  return found;
}

/** When the run began (Unix seconds), and for how many seconds it went on, at least a tenth. */
export function extent({ spans, marks }, now) {
  if (spans.length === 0) return { begin: now, length: 0.1 };
  const begin = Math.min(...spans.map(({ began }) => began));
  const end = Math.max(...spans.map(({ ended }) => ended ?? now), ...marks.map(({ at }) => at));
  return { begin, length: Math.max(end - begin, 0.1) };
}

/** Where lines of the scale stand: {at, seconds}, few enough to be read. */
export function ticks(length) {
  const step = TICKS.find((each) => length / each <= MOST_TICKS) ?? length / MOST_TICKS;
  return Array.from({ length: Math.floor(length / step + 1e-9) + 1 }, (_, index) => ({ at: (index * step) / length, seconds: index * step }));
}

/** Returns the phase of a span at that moment: "before", "during" or "after". */
export function phaseAt(span, moment) {
  if (moment < span.began) return "before";
  return span.ended === null || moment < span.ended ? "during" : "after";
}
