/**
 * The user interface of an MCP server's tool, in a sandboxed frame of another origin, which the operator gave.
 *
 * The frame has no origin of its own and no network; the page hears it by its window alone, never by what it claims.
 */

import { confirmed } from "./dialog.js";
import { el } from "./dom.js";
import { WidgetBridge } from "../client/widget_bridge.js";
import { language, t } from "../client/messages.js";

const READY = "ui/notifications/sandbox-proxy-ready";
const SHOW = "ui/notifications/sandbox-resource-ready";

export class WidgetFrame {
  /** `step` is the call; `html` is shown in the frame of the address `frame`, called `name`; `onFlood()`: it said too much, and is gone. */
  constructor(step, { html, frame, name, onFlood }) {
    Object.assign(this, { html, onFlood });
    this.hear = (event) => this.#hear(event);
    addEventListener("message", this.hear);
    // Without allow-same-origin: scripts of the widget have an origin that is nobody's.
    this.element = el("iframe.widget-frame", { title: name, referrerPolicy: "no-referrer" });
    this.element.setAttribute("sandbox", "allow-scripts");
    this.element.setAttribute("allow", "");
    this.element.src = frame;
    this.bridge = new WidgetBridge({
      send: (message) => this.element.contentWindow?.postMessage(message, "*"), // its origin is opaque: no other target reaches it
      tool: { name: step.tool, parameters: step.parameters, result: step.result ?? null, summary: step.summary },
      context: { theme: getComputedStyle(document.documentElement).colorScheme.includes("dark") ? "dark" : "light", locale: language().locale },
      onHeight: (height) => { this.element.style.height = `${height}px`; },
      onLink: (url) => openLink(url, step.widget.server),
    });
  }

  destroy() {
    removeEventListener("message", this.hear);
    this.element.remove();
  }

  #hear({ source, data }) {
    if (source === null || source !== this.element.contentWindow) return;
    if (data?.method === READY) {
      if (this.html !== null) this.bridge.notify(SHOW, { html: this.html });
      this.html = null; // once: a frame that loads anew is not given it again
      return;
    }
    this.bridge.take(data);
    if (!this.bridge.flooded) return;
    this.destroy();
    this.onFlood();
  }
}

async function openLink(url, server) {
  const open = await confirmed({ title: t("widget.open_title"), text: t("widget.open_text", { server, url }), agree: t("widget.open") });
  if (open) window.open(url, "_blank", "noopener,noreferrer");
  return open;
}
