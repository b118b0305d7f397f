/**
 * What a widget and the page say to each other: JSON-RPC of MCP Apps, bounded and checked. Pure.
 *
 * A widget can ask for its place to be as high as it is, and for a link to be opened, which its user allows each time.
 * It calls no tools and reads nothing: everything else is refused, in the words of the protocol.
 */

const PROTOCOL = "2026-01-26";
const MAX_CHARACTERS = 64 * 1024; // of a message
const MAX_MESSAGES = 500; // of one widget; what it says after that is not heard
const HEIGHTS = Object.freeze({ least: 60, most: 800 });
const NO_METHOD = -32601;
const NO_PARAMS = -32602;

export class WidgetBridge {
  /**
   * `send(message)` says something to the widget; `tool` is {name, parameters, result, summary} of its call; `context` is
   * {theme, locale}; `onHeight(px)`, and `onLink(url)`, which resolves to whether it was opened.
   */
  constructor({ send, tool, context, onHeight, onLink }) {
    Object.assign(this, { send, tool, context, onHeight, onLink, heard: 0, asking: false });
  }

  /** Takes what the widget's window said. What is no message of the protocol changes nothing. */
  async take(said) {
    this.heard += 1;
    if (this.flooded || said === null || typeof said !== "object" || said.jsonrpc !== "2.0" || typeof said.method !== "string") return;
    if (lengthOf(said) > MAX_CHARACTERS) return;
    const asked = typeof said.id === "number" || typeof said.id === "string";
    const rule = Object.hasOwn(RULES, said.method) ? RULES[said.method] : null;
    const answer = rule ? await rule(this, said.params ?? {}) : { error: { code: NO_METHOD, message: said.method.slice(0, 100) } };
    if (asked) this.send({ jsonrpc: "2.0", id: said.id, ...(answer ?? { result: {} }) });
  }

  /** Whether it said more than a widget may. */
  get flooded() {
    return this.heard > MAX_MESSAGES;
  }

  /** What the tool was called with, and what it gave. */
  tell() {
    const { parameters, result, summary } = this.tool;
    this.notify("ui/notifications/tool-input", { arguments: parameters });
    const structured = result !== null && typeof result === "object" && !Array.isArray(result) ? { structuredContent: result } : {};
    const text = typeof result === "string" ? result : JSON.stringify(result ?? null);
    this.notify("ui/notifications/tool-result", { content: [{ type: "text", text: text || summary }], ...structured });
  }

  notify(method, params) {
    this.send({ jsonrpc: "2.0", method, params });
  }
}

const RULES = Object.freeze({
  "ui/initialize": ({ tool, context }) => ({
    result: {
      protocolVersion: PROTOCOL, hostInfo: { name: "understudy", version: "1" }, hostCapabilities: { openLinks: {} },
      hostContext: { ...context, displayMode: "inline", availableDisplayModes: ["inline"], platform: "web", toolInfo: { tool: { name: tool.name } } },
    },
  }),
  "ui/notifications/initialized": (bridge) => bridge.tell(),
  "ui/notifications/size-changed": ({ onHeight }, { height }) => {
    if (Number.isFinite(height)) onHeight(Math.min(Math.max(Math.ceil(height), HEIGHTS.least), HEIGHTS.most));
  },
  "ui/open-link": async (bridge, { url }) => {
    if (typeof url !== "string" || !/^https?:/i.test(url) || url.length > 2000 || bridge.asking) return { error: { code: NO_PARAMS, message: "url" } };
    bridge.asking = true;
    const opened = await bridge.onLink(url).finally(() => { bridge.asking = false; });
    return opened ? { result: {} } : { error: { code: -32000, message: "declined" } };
  },
  ping: () => ({ result: {} }),
});

function lengthOf(said) {
  try {
    return JSON.stringify(said).length;
  } catch {
    return Infinity; // it refers to itself
  }
}
