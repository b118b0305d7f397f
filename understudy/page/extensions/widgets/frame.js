/**
 * The user interface of an MCP server's tool, in a sandboxed frame of another origin, which the operator gave.
 *
 * The frame has no origin of its own and no network; the page hears it by its window alone, never by what it claims.
 */

import { confirmed } from "../../elements/dialog.js";
import { el } from "../../elements/dom.js";
import { HEIGHTS, WidgetBridge } from "./bridge.js";
import { language, t } from "../../client/messages.js";

const READY = "ui/notifications/sandbox-proxy-ready";
const SHOW = "ui/notifications/sandbox-resource-ready";
const DARK = matchMedia("(prefers-color-scheme: dark)");
const { documentElement: ROOT } = document;

export class WidgetFrame {
  /**
   * `step` is the call; `given` is {html, frame, tool, arguments, result} of it; the frame is called `name`. `onFlood()`: it said
   * too much, and is gone. `onCall(name, parameters)` resolves to a result of the protocol, `onMessage(text)` sends a message.
   */
  constructor(step, given, { name, onFlood, onCall, onMessage }) {
    Object.assign(this, { html: given.html, onFlood, onMessage, server: step.widget.server });
    this.hear = (event) => this.#hear(event);
    addEventListener("message", this.hear);
    // Without allow-same-origin: scripts of the widget have an origin that is nobody's.
    this.element = el("iframe.widget-frame", { title: name, referrerPolicy: "no-referrer" });
    this.element.setAttribute("sandbox", "allow-scripts");
    this.element.setAttribute("allow", "");
    this.element.src = given.frame;
    this.bridge = new WidgetBridge({
      send: (message) => this.element.contentWindow?.postMessage(message, "*"), // its origin is opaque: no other target reaches it
      tool: { definition: given.tool, parameters: given.arguments, result: given.result, summary: step.summary },
      context: {
        theme: theme(), locale: language().locale, timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone, userAgent: "understudy", platform: "web",
        deviceCapabilities: { touch: matchMedia("(any-pointer: coarse)").matches, hover: matchMedia("(hover: hover)").matches },
        containerDimensions: { maxHeight: HEIGHTS.most },
      },
      onHeight: (height) => { this.element.style.height = `${height}px`; },
      onCall, onLink: (url) => this.#openLink(url), onMessage: (text) => this.#say(text),
    });
    this.shown = () => this.#themed();
    DARK.addEventListener("change", this.shown);
    this.chosen = new MutationObserver(this.shown);
    this.chosen.observe(ROOT, { attributeFilter: ["data-theme"] });
    this.sized = new ResizeObserver(([{ contentRect }]) => this.#sized(Math.round(contentRect.width)));
    this.sized.observe(this.element);
  }

  destroy() {
    removeEventListener("message", this.hear);
    DARK.removeEventListener("change", this.shown);
    this.chosen.disconnect();
    this.sized.disconnect();
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

  #themed() {
    if (theme() !== this.bridge.context.theme) this.bridge.change({ theme: theme() });
  }

  #sized(width) {
    const { containerDimensions } = this.bridge.context;
    if (width > 0 && width !== containerDimensions.width) this.bridge.change({ containerDimensions: { ...containerDimensions, width } });
  }

  async #openLink(url) {
    const open = await confirmed({ title: t("widget.open_title"), text: t("widget.open_text", { server: this.server, url }), agree: t("widget.open") });
    if (open) window.open(url, "_blank", "noopener,noreferrer");
    return open;
  }

  async #say(text) {
    const send = await confirmed({ title: t("widget.send_title"), text: t("widget.send_text", { server: this.server, text }), agree: t("action.send") });
    if (send) this.onMessage(text);
    return send;
  }
}

function theme() {
  return getComputedStyle(ROOT).colorScheme.includes("dark") ? "dark" : "light";
}
