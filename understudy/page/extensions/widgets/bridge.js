/**
 * The messages between a widget and the page: JSON-RPC of MCP Apps, bounded and checked. Pure.
 *
 * A widget can ask for its place to be as high as it is, for tools of its own server to be called, and for a link to be
 * opened or a message to be sent, which its user allows each time. Everything else is refused, in the words of the protocol.
 */

const PROTOCOL = "2026-01-26";
const MAX_CHARACTERS = 64 * 1024; // of a message
const BURST = 500; // messages of one widget at once; one that says more is not heard any more
const PER_SECOND = 2; // messages that it may say for long
const MAX_CALLS = 4; // that wait for their results; the server has the same bound
const MAX_NAME = 200;
const MAX_URL = 2000;
const MAX_TEXT = 2000; // characters of a message that it wants sent
const MAX_DECLINED = 3; // questions that its user declines; it asks no more after that
const NO_METHOD = -32601;
const NO_PARAMS = -32602;
const REFUSED = -32000;

/** Pixels between which a widget chooses its height. */
export const HEIGHTS = Object.freeze({ least: 60, most: 800 });

export class WidgetBridge {
  /**
   * `send(message)` says something to the widget; `tool` is {definition, parameters, result, summary} of its call; `context` is
   * what it is told of the page. `onHeight(px)`; `onCall(name, parameters)` resolves to a result of the protocol, or rejects;
   * `onLink(url)` and `onMessage(text)` resolve to whether the user agreed. `now()` is in milliseconds.
   */
  constructor({ send, tool, context, onHeight, onCall, onLink, onMessage, now = () => performance.now() }) {
    this.send = send;
    this.tool = tool;
    this.context = context;
    this.onHeight = onHeight;
    this.onCall = onCall;
    this.onLink = onLink;
    this.onMessage = onMessage;
    this.now = now;
    this.left = BURST;
    this.at = now();
    this.flooded = false;
    this.initialized = false;
    this.used = false;
    this.asking = false;
    this.declined = 0;
    this.calls = 0;
  }

  /** Takes what the widget's window said. What is no message of the protocol changes nothing. */
  async take(said) {
    this.#count();
    if (this.flooded || said === null || typeof said !== "object" || said.jsonrpc !== "2.0" || typeof said.method !== "string") return;
    if (lengthOf(said) > MAX_CHARACTERS) return;
    const asked = typeof said.id === "number" || typeof said.id === "string";
    const rule = Object.hasOwn(RULES, said.method) ? RULES[said.method] : null;
    const params = isObject(said.params) ? said.params : {};
    const answer = rule ? await rule(this, params) : { error: { code: NO_METHOD, message: said.method.slice(0, MAX_NAME) } };
    if (asked) this.send({ jsonrpc: "2.0", id: said.id, ...(answer ?? { result: {} }) });
  }

  /** Something of the page has changed: `context` has the new members. */
  change(context) {
    this.context = { ...this.context, ...context };
    if (this.initialized) this.notify("ui/notifications/host-context-changed", context);
  }

  /** Sends the tool's parameters and its result to the widget, once. */
  tell() {
    if (this.initialized) return;
    this.initialized = true;
    const { parameters, result, summary } = this.tool;
    this.notify("ui/notifications/tool-input", { arguments: parameters });
    this.notify("ui/notifications/tool-result", callResult(result, summary));
  }

  notify(method, params) {
    this.send({ jsonrpc: "2.0", method, params });
  }

  /** The answer to a request that its user decides about: one at a time, and none any more after some that were declined. */
  async ask(question) {
    this.used = true;
    if (this.asking || this.declined >= MAX_DECLINED) return failure("declined");
    this.asking = true;
    const agreed = await question().finally(() => { this.asking = false; });
    if (!agreed) this.declined += 1;
    return agreed ? { result: {} } : failure("declined");
  }

  async call(name, parameters) {
    this.used = true;
    if (this.calls >= MAX_CALLS) return failure("busy");
    this.calls += 1;
    try {
      return { result: await this.onCall(name, parameters) };
    } catch (fault) {
      return failure(String(fault?.message ?? fault).slice(0, MAX_TEXT));
    } finally {
      this.calls -= 1;
    }
  }

  #count() {
    const now = this.now();
    this.left = Math.min(BURST, this.left + ((now - this.at) / 1000) * PER_SECOND) - 1;
    this.at = now;
    this.flooded ||= this.left < 0;
  }
}

const RULES = Object.freeze({
  "ui/initialize": ({ tool, context }) => ({
    result: {
      protocolVersion: PROTOCOL, hostInfo: { name: "understudy", version: "1" },
      hostCapabilities: { openLinks: {}, serverTools: {}, message: { text: {} }, logging: {} },
      hostContext: { ...context, displayMode: "inline", availableDisplayModes: ["inline"], toolInfo: { tool: tool.definition } },
    },
  }),
  "ui/notifications/initialized": (bridge) => bridge.tell(),
  "ui/notifications/size-changed": ({ onHeight }, { height }) => {
    if (Number.isFinite(height)) onHeight(Math.min(Math.max(Math.ceil(height), HEIGHTS.least), HEIGHTS.most));
  },
  "ui/open-link": (bridge, { url }) => {
    if (typeof url !== "string" || !/^https?:/i.test(url) || url.length > MAX_URL || !URL.canParse(url)) return wrong("url");
    return bridge.ask(() => bridge.onLink(url));
  },
  "ui/message": (bridge, { role, content }) => {
    const text = textOf(content);
    if (role !== "user" || text === "" || text.length > MAX_TEXT) return wrong("content");
    return bridge.ask(() => bridge.onMessage(text));
  },
  "ui/request-display-mode": () => ({ result: { mode: "inline" } }),
  "tools/call": (bridge, { name, arguments: parameters = {} }) => {
    if (typeof name !== "string" || name === "" || name.length > MAX_NAME || !isObject(parameters)) return wrong("arguments");
    return bridge.call(name, parameters);
  },
  "notifications/message": () => null, // what it logs, nobody reads
  ping: () => ({ result: {} }),
});

/** The result of a call as the protocol has it; `value` is that of an event. */
export function callResult(value, summary = "", isError = false) {
  // The server wraps a result with structured content: {content, result}.
  const beside = isObject(value) && Array.isArray(value.content) && isObject(value.result) && Object.keys(value).length === 2;
  const structured = beside ? value.result : isObject(value) && !isError ? value : null;
  const texts = isError ? [summary] : beside ? value.content : [value];
  return {
    content: texts.map((each) => ({ type: "text", text: (typeof each === "string" ? each : JSON.stringify(each ?? null)) || summary })),
    ...(structured && { structuredContent: structured }), ...(isError && { isError: true }),
  };
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

const failure = (message) => ({ error: { code: REFUSED, message } });

const wrong = (message) => ({ error: { code: NO_PARAMS, message } });

/** The text of a message's content, which is one block or several; empty if some are no texts. */
function textOf(content) {
  const blocks = Array.isArray(content) ? content : [content];
  return blocks.every((block) => block?.type === "text" && typeof block.text === "string") ? blocks.map(({ text }) => text).join("\n").trim() : "";
}

function lengthOf(said) {
  try {
    return JSON.stringify(said).length;
  } catch {
    return Infinity; // it refers to itself
  }
}
