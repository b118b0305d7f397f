/**
 * User interfaces of MCP servers' tools (MCP Apps): each in a sandboxed frame of another origin, which the operator gave.
 *
 * The frame has no origin of its own and no network; the page hears it by its window alone, never by what it claims.
 */

import { confirmed } from "./dialog.js";
import { arrange, el } from "./dom.js";
import { icon } from "./icons.js";
import { whenSeen } from "./seen.js";
import { WidgetBridge } from "../client/widget_bridge.js";
import { language, t } from "../client/messages.js";
import { humanised } from "../client/format.js";

const READY = "ui/notifications/sandbox-proxy-ready";
const SHOW = "ui/notifications/sandbox-resource-ready";

export class WidgetsView {
  /** `page` is {readWidget(server, uri)}, which resolves to {html, frame}. */
  constructor(page) {
    this.page = page;
    this.widgets = new Map(); // call id -> Widget
    this.element = el("div.widgets");
  }

  update({ steps }) {
    if (steps === this.steps) return;
    this.steps = steps;
    const shown = steps.filter((step) => step.widget);
    for (const step of shown) if (!this.widgets.has(step.callId)) this.widgets.set(step.callId, new Widget(step, this.page));
    arrange(this.element, shown.map(({ callId }) => this.widgets.get(callId).element));
  }

  destroy() {
    for (const widget of this.widgets.values()) widget.destroy();
  }
}

class Widget {
  constructor(step, page) {
    Object.assign(this, { step, page, frame: null });
    const { server } = step.widget;
    this.place = el("div.widget-place", {}, el("span.spinner", { role: "status", "aria-label": t("widget.loading") }));
    this.element = el("figure.widget", {}, el("figcaption.chart-head", {}, icon("tool"), el("span.chart-title", {}, t("widget.of", { tool: humanised(step.tool), server }))), this.place);
    this.hear = (event) => this.#hear(event);
    whenSeen(this.place, () => this.#load().catch((fault) => this.place.replaceChildren(el("p.hint", {}, fault.message))));
  }

  destroy() {
    removeEventListener("message", this.hear);
    this.frame?.remove();
  }

  async #load() {
    const { server, uri } = this.step.widget;
    const { html, frame } = await this.page.readWidget(server, uri);
    this.html = html;
    addEventListener("message", this.hear);
    // Without allow-same-origin: scripts of the widget have an origin that is nobody's.
    this.frame = el("iframe.widget-frame", { title: t("widget.of", { tool: humanised(this.step.tool), server }), referrerPolicy: "no-referrer" });
    this.frame.setAttribute("sandbox", "allow-scripts");
    this.frame.setAttribute("allow", "");
    this.frame.src = frame;
    this.bridge = new WidgetBridge({
      send: (message) => this.frame.contentWindow?.postMessage(message, "*"), // its origin is opaque: no other target reaches it
      tool: { name: this.step.tool, parameters: this.step.parameters, result: this.step.result ?? null, summary: this.step.summary },
      context: { theme: getComputedStyle(document.documentElement).colorScheme.includes("dark") ? "dark" : "light", locale: language().locale },
      onHeight: (height) => { this.frame.style.height = `${height}px`; },
      onLink: (url) => openLink(url, server),
    });
    this.place.replaceChildren(this.frame);
  }

  #hear({ source, data }) {
    if (source === null || source !== this.frame?.contentWindow) return;
    if (data?.method === READY) {
      if (this.html !== null) this.bridge.notify(SHOW, { html: this.html });
      this.html = null; // once: a frame that loads anew is not given it again
      return;
    }
    this.bridge.take(data);
    if (!this.bridge.flooded) return;
    this.destroy();
    this.place.replaceChildren(el("p.hint", {}, t("widget.stopped")));
  }
}

async function openLink(url, server) {
  const open = await confirmed({ title: t("widget.open_title"), text: t("widget.open_text", { server, url }), agree: t("widget.open") });
  if (open) window.open(url, "_blank", "noopener,noreferrer");
  return open;
}
