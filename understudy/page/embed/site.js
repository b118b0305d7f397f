/** The messages between the chat in a frame and the site around it: a greeting, and requests for tokens. `widget.js` is the other end. */

const TOKEN_MS = 20_000; // a site that does not give a token in this time is asked again later

/** Which events end a run, and how. */
const ENDS = Object.freeze({ final_response: "done", error: "failed" });

export class Site {
  /** `origin` of the page around; `port` is a MessagePort; `options` are {agent, language, theme, token, renewed}. */
  constructor(origin, port, options) {
    Object.assign(this, { origin, port, options, asked: new Map(), counted: 0, onShown: () => {} });
    port.onmessage = ({ data }) => this.#told(data ?? {});
  }

  /** The client's option `token`: null for nobody, a token, or a function that gives the first, and then newer ones. */
  get token() {
    const { token, renewed } = this.options;
    if (token === null || !renewed) return token;
    let first = token;
    return async () => {
      const given = first ?? await this.askToken();
      first = null;
      return given;
    };
  }

  /** A newer token. Rejects if the site gives none now. */
  askToken() {
    this.counted += 1;
    const id = this.counted;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id, null), TOKEN_MS);
      this.asked.set(id, { resolve, reject, timer });
      this.port.postMessage({ type: "token", id });
    });
  }

  /** The chat is drawn. */
  ready() {
    this.port.postMessage({ type: "ready" });
  }

  /** The user would like to see the page again. */
  close() {
    this.port.postMessage({ type: "close" });
  }

  /** Says something to the developer, in the console of the site. */
  problem(message) {
    this.port.postMessage({ type: "problem", message });
  }

  /** Says which answers have ended among these events of the client: ids, and never a text, which the site might take for markup. */
  took(events) {
    for (const { type, thread_id: threadId, run_id: runId, data } of events) {
      if (!Object.hasOwn(ENDS, type) || !runId) continue;
      const cancelled = data?.status === "cancelled" || data?.code === "run_cancelled";
      this.port.postMessage({ type: "answer", threadId, runId, status: cancelled ? "cancelled" : ENDS[type] });
    }
  }

  #told({ type, id, token }) {
    if (type === "shown") this.onShown();
    else if (type === "token") this.#settle(id, token);
  }

  #settle(id, token) {
    const { resolve, reject, timer } = this.asked.get(id) ?? {};
    if (!this.asked.delete(id)) return;
    clearTimeout(timer);
    if (typeof token === "string") resolve(token);
    else reject(new Error("no_token"));
  }
}

/**
 * Resolves to the site as soon as it has answered. `window` is the frame's: only the page directly around it is heard, and the
 * server lets no page of another origin than those it allows be around it.
 */
export function siteAround(window) {
  return new Promise((resolve) => {
    const hear = ({ source, origin, data, ports }) => {
      if (source !== window.parent || data?.type !== "understudy:start" || ports.length !== 1) return;
      window.removeEventListener("message", hear);
      resolve(new Site(origin, ports[0], data));
    };
    window.addEventListener("message", hear);
    window.parent.postMessage({ type: "understudy:hello" }, "*"); // nobody learns anything by it
  });
}

// The storage of a chat in another site, apart from the chat page's own session and from other sites'.
//
// Browsers keep a frame's storage apart by the site around it, but not if that is of the same domain as the server. A chat in
// `www.example.org` must not act for whoever is signed in at `chat.example.org`.

const prefixOf = (origin) => `embed/${origin}/`;

/** A part of `storage`, with the interface of `localStorage`; null if there is none. */
export function siteStorage(storage, origin) {
  return storage === null ? null : new SiteStorage(storage, prefixOf(origin));
}

class SiteStorage {
  constructor(storage, prefix) {
    Object.assign(this, { storage, prefix });
  }

  get #keys() {
    const all = Array.from({ length: this.storage.length }, (_, index) => this.storage.key(index));
    return all.filter((key) => key?.startsWith(this.prefix));
  }

  get length() {
    return this.#keys.length;
  }

  key(index) {
    return this.#keys[index]?.slice(this.prefix.length) ?? null;
  }

  getItem(key) {
    return this.storage.getItem(this.prefix + key);
  }

  setItem(key, value) {
    this.storage.setItem(this.prefix + key, value);
  }

  removeItem(key) {
    this.storage.removeItem(this.prefix + key);
  }
}

/** A window for the client, which hears only what other tabs store in the part of this site. */
export function siteWindow(window, origin) {
  const prefix = prefixOf(origin);
  const filtered = (listener) => ({ key, newValue }) => key?.startsWith(prefix) && listener({ key: key.slice(prefix.length), newValue });
  return {
    document: window.document,
    location: window.location,
    addEventListener: (name, listener, options) => window.addEventListener(name, name === "storage" ? filtered(listener) : listener, options),
    removeEventListener: (...which) => window.removeEventListener(...which),
  };
}
