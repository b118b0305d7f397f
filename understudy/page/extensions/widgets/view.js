/** The places in an answer of user interfaces of MCP servers' tools (MCP Apps). Their frames are loaded when they come into sight. */

import { humanised } from "../../client/format.js";
import { learn, t } from "../../client/messages.js";
import { arrange, el } from "../../elements/dom.js";
import { icon } from "../../elements/icons.js";
import { whenSeen } from "../../elements/seen.js";
import { MESSAGES } from "./messages/view.js";

export class WidgetsView {
  /** `calls` is a `WidgetCalls`; `onSay(turn, message)` sends a message to the turn's agent. */
  constructor(calls, onSay) {
    learn(MESSAGES);
    Object.assign(this, { calls, onSay });
    this.widgets = new Map(); // call id -> Widget
    this.element = el("div.widgets");
  }

  update(turn) {
    this.turn = turn;
    const { steps } = turn;
    if (steps === this.steps) return;
    this.steps = steps;
    const shown = steps.filter((step) => step.widget);
    for (const step of shown) if (!this.widgets.has(step.callId)) this.widgets.set(step.callId, new Widget(step, this.calls, (text) => this.onSay(this.turn, text)));
    arrange(this.element, shown.map(({ callId }) => this.widgets.get(callId).element));
  }

  /** Whether a widget has asked for something, and is to hear the answer. */
  get inUse() {
    return [...this.widgets.values()].some(({ frame }) => frame?.bridge.used);
  }

  destroy() {
    for (const widget of this.widgets.values()) widget.destroy();
  }
}

class Widget {
  constructor(step, calls, onMessage) {
    Object.assign(this, { step, calls, onMessage, frame: null, ended: false });
    this.name = t("widget.of", { tool: humanised(step.tool), server: step.widget.server });
    this.place = el("div.widget-place", {}, el("span.spinner", { role: "status", "aria-label": t("widget.loading") }));
    this.element = el("figure.widget", {}, el("figcaption.chart-head", {}, icon("tool"), el("span.chart-title", {}, this.name)), this.place);
    whenSeen(this.place, () => this.#load().catch((fault) => this.#say(fault.message)));
  }

  destroy() {
    this.ended = true;
    this.frame?.destroy();
  }

  async #load() {
    const { callId } = this.step;
    const given = await this.calls.read(callId);
    const { WidgetFrame } = await import("./frame.js");
    if (this.ended) return;
    this.frame = new WidgetFrame(this.step, given, {
      name: this.name, onFlood: () => this.#say(t("widget.stopped")), onMessage: this.onMessage,
      onCall: (name, parameters) => this.calls.call(callId, name, parameters),
    });
    this.place.replaceChildren(this.frame.element);
  }

  #say(sentence) {
    this.place.replaceChildren(el("p.hint", {}, sentence));
  }
}
