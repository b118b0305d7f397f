/**
 * The chat button of another site: `<script type="module" src="…/page/widget.js" data-agent="echo">`.
 *
 * It draws a button, and loads the chat into a frame of the server's own origin when that is pressed first. Texts of users
 * and models are shown in the frame alone: the site gets ids, and the frame gets a token. Styles stand in a shadow root, so
 * those of the site do not reach them. A site that the server does not allow gets `embed/refused.js` in place of this.
 */

const HOME = new URL(import.meta.url).origin;
const EMBED = new URL("../embed", import.meta.url).href;
const SLOW_MS = 20_000; // a frame that has not begun by then is given up; it may still come
const AFTER_LOAD_MS = 3_000; // the document in the frame speaks before it has loaded, unless it is the browser's page of an error
const SIDES = ["end", "start"];
const THEMES = ["auto", "light", "dark"];

/** The texts of the button, by language: it has no catalogue, which would be larger than all the rest. */
export const TEXTS = {
  en: { dir: "ltr", label: "Chat", close: "Close the chat", unread: "a new answer", loading: "Loading the chat…", failed: "The chat could not be loaded.", again: "Try again" },
  de: { dir: "ltr", label: "Chat", close: "Chat schließen", unread: "eine neue Antwort", loading: "Der Chat wird geladen …", failed: "Der Chat konnte nicht geladen werden.", again: "Noch einmal versuchen" },
  ar: { dir: "rtl", label: "محادثة", close: "أغلق المحادثة", unread: "إجابة جديدة", loading: "يجري تحميل المحادثة…", failed: "تعذّر تحميل المحادثة.", again: "حاول مرة أخرى" },
};

const DARK = "--ground: #171614; --ink: #ebe7df; --line: #47443e; --accent: #7fc9af; --on-accent: #0c1f18; --ring: #ebe7df; color-scheme: dark;";
const STYLES = `
:host { all: initial !important; display: contents !important; }
[hidden] { display: none !important; }
.chat { --ground: #fbfaf7; --ink: #1f1d19; --line: #cfc9be; --accent: #17624f; --on-accent: #ffffff; --ring: #1f1d19; color-scheme: light; font: 400 15px/1.5 system-ui, sans-serif; }
.chat[data-theme="dark"] { ${DARK} }
@media (prefers-color-scheme: dark) { .chat[data-theme="auto"] { ${DARK} } }
button { margin: 0; border: 1px solid transparent; font: inherit; cursor: pointer; }
button:focus-visible { outline: 3px solid var(--ring); outline-offset: 2px; box-shadow: 0 0 0 2px var(--ground); }
svg { width: 26px; height: 26px; fill: none; stroke: currentcolor; stroke-linecap: round; stroke-linejoin: round; stroke-width: 1.5; }
.opener { position: fixed; inset-block-end: 20px; z-index: 2147483646; display: grid; place-items: center; width: 56px; height: 56px; padding: 0; border-radius: 50%; background: var(--accent); color: var(--on-accent); box-shadow: 0 2px 6px rgb(0 0 0 / 0.2), 0 8px 28px rgb(0 0 0 / 0.22); }
[data-side="end"] > .opener, [data-side="end"] > .panel { inset-inline-end: 20px; }
[data-side="start"] > .opener, [data-side="start"] > .panel { inset-inline-start: 20px; }
.opener[data-unread]::after { position: absolute; inset-block-start: 2px; inset-inline-end: 2px; width: 12px; height: 12px; border: 2px solid var(--ground); border-radius: 50%; background: #c2410c; content: ""; }
.panel { position: fixed; inset-block-end: 88px; z-index: 2147483647; box-sizing: border-box; width: min(420px, calc(100vw - 40px)); height: min(680px, calc(100vh - 108px)); overflow: hidden; border: 1px solid var(--line); border-radius: 16px; background: var(--ground); color: var(--ink); box-shadow: 0 2px 6px rgb(0 0 0 / 0.12), 0 16px 48px rgb(0 0 0 / 0.24); }
iframe { display: block; width: 100%; height: 100%; border: 0; color-scheme: normal; }
.cover { position: absolute; inset: 0; display: grid; align-content: center; justify-items: center; gap: 12px; padding: 24px; background: var(--ground); text-align: center; }
.cover p { margin: 0; }
.again { padding: 6px 14px; border-radius: 10px; background: var(--accent); color: var(--on-accent); }
.leave { position: absolute; inset-block-start: 8px; inset-inline-end: 8px; display: grid; place-items: center; width: 40px; height: 40px; padding: 0; border-radius: 10px; background: none; color: inherit; }
@media (max-width: 480px), (max-height: 420px) {
  .chat > .panel { inset: 0; width: 100%; height: 100%; border: 0; border-radius: 0; }
  .opener[aria-expanded="true"] { display: none; }
}
@media (prefers-reduced-motion: no-preference) {
  .panel { animation: rise 180ms cubic-bezier(0.2, 0, 0, 1); }
  @keyframes rise { from { opacity: 0; transform: translateY(12px); } }
}
@media print { .chat { display: none; } }
`;
const SANDBOX = "allow-scripts allow-same-origin allow-forms allow-popups allow-popups-to-escape-sandbox allow-downloads";

/** The options that the attributes of a script tag say (its `dataset`). */
export function optionsOf({ agent, label, side, theme, language, token, tokenFunction, open }) {
  const named = tokenFunction && (() => {
    if (typeof globalThis[tokenFunction] !== "function") throw new TypeError(`there is no function "${tokenFunction}", which data-token-function names`);
    return globalThis[tokenFunction]();
  });
  return { agent, label, side, theme, language, token: named || token, open: open !== undefined };
}

/** Returns the options, with defaults for those that are missing or unknown. Throws a TypeError at an invalid token. */
export function settled({ agent = "guide", label, side, theme, language = "", token = null, open = false } = {}) {
  if (!["string", "function"].includes(typeof token) && token !== null) throw new TypeError("understudy: token must be a string or a function");
  const known = (value, all, name) => {
    if (value === undefined || all.includes(value)) return value ?? all[0];
    console.warn(`understudy: ${name} is one of ${all.join(", ")}, not "${value}"`);
    return all[0];
  };
  const tags = [language, globalThis.document?.documentElement.lang, ...(globalThis.navigator?.languages ?? [])].map((tag) => (tag ?? "").split("-")[0].toLowerCase());
  const spoken = tags.find((tag) => Object.hasOwn(TEXTS, tag)) ?? "en";
  return { agent, label: label || TEXTS[spoken].label, side: known(side, SIDES, "side"), theme: known(theme, THEMES, "theme"), language: spoken, token, open: Boolean(open) };
}

/** The token that `token` gives, a string or a function; null for nobody. Rejects with a sentence for the developer. */
export async function tokenFrom(token) {
  const given = typeof token === "function" ? await token() : token;
  if (given === null || given === undefined || given === "") return null;
  if (typeof given !== "string") throw new TypeError(`the function for the token gave ${typeof given}, not a string`);
  return given;
}

function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function drawing(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

const BUBBLE = "M4 4.5h12v9H9l-3.5 3v-3H4z";
const CROSS = "M5 5l10 10M15 5L5 15";

/** One button with its chat. Events: `open`, `close`, and `answer` with {threadId, runId, status} in `detail`. */
export class Chat extends EventTarget {
  #options;
  #texts;
  #frame = null;
  #port = null;
  #waits = null;
  #leaving = new AbortController();

  /** Draws the button. `options` are those of `mount`. */
  constructor(options) {
    super();
    this.#options = settled(options);
    const { label, side, theme, language } = this.#options;
    this.#texts = TEXTS[language];
    this.opener = make("button", { className: "opener", type: "button", "aria-expanded": "false", "aria-haspopup": "dialog", "aria-controls": "panel" });
    this.sentence = make("p", { role: "status" });
    this.again = make("button", { className: "again", type: "button", hidden: true, textContent: this.#texts.again });
    const leave = make("button", { className: "leave", type: "button", title: this.#texts.close, "aria-label": this.#texts.close }, drawing(CROSS));
    this.cover = make("div", { className: "cover" }, this.sentence, this.again, leave);
    this.panel = make("div", { className: "panel", id: "panel", role: "dialog", "aria-label": label, hidden: true }, this.cover);
    this.section = make("section", { className: "chat", dir: this.#texts.dir, lang: language, "aria-label": label }, this.opener, this.panel);
    this.section.dataset.side = side;
    this.section.dataset.theme = theme;
    this.host = make("understudy-chat");
    const shadow = this.host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet(); // a policy of the site about styles is not about these
    sheet.replaceSync(STYLES);
    shadow.adoptedStyleSheets = [sheet];
    shadow.append(this.section);
    this.#listen(leave);
    this.#label();
    document.documentElement.append(this.host); // a site that draws its body anew keeps the chat
    if (this.#options.open) this.open();
  }

  get isOpen() {
    return !this.panel.hidden;
  }

  /** Shows the chat, and puts the focus into it. */
  open() {
    if (this.#leaving.signal.aborted || this.isOpen) return;
    this.panel.hidden = false;
    delete this.opener.dataset.unread;
    this.#label();
    if (this.#frame === null) this.#load();
    else this.#focus();
    this.dispatchEvent(new Event("open"));
  }

  /** Hides the chat; it stays connected. The focus goes back to the button if it was in the chat. */
  close() {
    if (this.#leaving.signal.aborted || !this.isOpen) return;
    const held = document.activeElement === this.host;
    this.panel.hidden = true;
    this.#label();
    if (held) this.opener.focus();
    this.dispatchEvent(new Event("close"));
  }

  /** Takes the button and the chat away for good. What the user has asked for goes on at the server. */
  destroy() {
    this.#leaving.abort();
    clearTimeout(this.#waits);
    this.#port?.close();
    this.host.remove();
  }

  #listen(leave) {
    const { signal } = this.#leaving;
    this.opener.addEventListener("click", () => (this.isOpen ? this.close() : this.open()));
    leave.addEventListener("click", () => this.close());
    this.again.addEventListener("click", () => this.#load());
    this.section.addEventListener("keydown", (event) => event.key === "Escape" && this.isOpen && this.close());
    addEventListener("message", (event) => this.#greeted(event), { signal });
    document.addEventListener("securitypolicyviolation", ({ blockedURI, effectiveDirective }) => {
      if (!blockedURI.startsWith(HOME) || !/^(frame|child|default)-src/.test(effectiveDirective)) return;
      this.#fail(`the Content-Security-Policy of this page lacks "frame-src ${HOME}"`);
    }, { signal });
  }

  #label() {
    const { label } = this.#options;
    const name = this.opener.dataset.unread === undefined ? label : `${label}: ${this.#texts.unread}`;
    this.opener.setAttribute("aria-expanded", String(this.isOpen));
    this.opener.setAttribute("aria-label", this.isOpen ? this.#texts.close : name);
    this.opener.title = this.isOpen ? this.#texts.close : name;
    this.opener.replaceChildren(drawing(this.isOpen ? CROSS : BUBBLE));
  }

  #load() {
    this.#frame?.remove();
    this.#cover(this.#texts.loading);
    const frame = make("iframe", { title: this.#options.label, allow: "clipboard-write", referrerPolicy: "no-referrer" });
    frame.sandbox = SANDBOX;
    frame.src = EMBED;
    frame.addEventListener("load", () => this.#await(AFTER_LOAD_MS));
    this.#frame = frame;
    this.#await(SLOW_MS);
    this.panel.prepend(frame);
  }

  #await(ms) {
    if (this.cover.hidden) return;
    clearTimeout(this.#waits);
    this.#waits = setTimeout(() => this.#fail(`${HOME}/embed does not answer, or may not be framed by all pages around it`), ms);
  }

  /** Covers the frame with a sentence. */
  #cover(sentence, again = false) {
    this.sentence.textContent = sentence;
    this.again.hidden = !again;
    this.cover.hidden = false;
  }

  #fail(why) {
    clearTimeout(this.#waits);
    console.error(`understudy: ${why}`);
    this.#cover(this.#texts.failed, true);
  }

  /** The document in the frame has begun, for the first time or anew: it gets the options, and a way to speak. */
  async #greeted({ source, origin, data }) {
    const frame = this.#frame;
    if (frame === null || source !== frame.contentWindow || origin !== HOME || data?.type !== "understudy:hello") return;
    clearTimeout(this.#waits);
    const { agent, language, theme } = this.#options;
    let token;
    try {
      token = await tokenFrom(this.#options.token);
    } catch (fault) {
      this.#fail(`no token: ${fault.message}`);
      return;
    }
    if (frame !== this.#frame || this.#leaving.signal.aborted) return;
    const { port1, port2 } = new MessageChannel();
    this.#port?.close();
    this.#port = port1;
    port1.onmessage = ({ data: said }) => this.#told(said, port1);
    const renewed = typeof this.#options.token === "function";
    source.postMessage({ type: "understudy:start", agent, language, theme, token, renewed }, HOME, [port2]); // to this origin or to none
    this.#await(SLOW_MS);
  }

  async #told({ type, ...said }, port) {
    if (type === "ready") {
      clearTimeout(this.#waits);
      this.cover.hidden = true;
      if (this.isOpen) this.#focus();
    } else if (type === "close") {
      this.close();
    } else if (type === "token") {
      const given = await tokenFrom(this.#options.token).then((token) => ({ token }), (fault) => {
        console.error(`understudy: no token: ${fault.message}`);
        return { token: null };
      });
      port.postMessage({ type: "token", id: said.id, ...given });
    } else if (type === "problem") {
      console.error(`understudy: ${said.message}`);
    } else if (type === "answer") {
      if (!this.isOpen) this.opener.dataset.unread = "";
      this.#label();
      const { threadId, runId, status } = said;
      this.dispatchEvent(new CustomEvent("answer", { detail: { threadId, runId, status } }));
    }
  }

  #focus() {
    this.#frame.focus();
    this.#port?.postMessage({ type: "shown" });
  }
}

/**
 * Draws a chat button, and returns its `Chat`.
 *
 * `options`: `agent` (its type, or type/pillar), `label`, `side` ("end", "start"), `theme` ("auto", "light", "dark"), `language` ("en",
 * "de", "ar"; the page's), `token` (a string, or a function that gives one, or a promise of one; null for nobody), `open`.
 */
export function mount(options = {}) {
  return new Chat(options);
}

const tag = [...(globalThis.document?.querySelectorAll("script[src]") ?? [])].find(({ src }) => src === import.meta.url);

/** The chat of the script tag that names this module; null if the module is imported only. */
export const chat = tag ? mount(optionsOf(tag.dataset)) : null;
