/** REST clients of the operators' pages. The token goes in a header only: addresses end up in logs. */

import { ROOT } from "../client/address.js";

export const OVER = 401; // the status of a refusal: the token is not, or no longer, accepted

/** A refusal: {status, message}; status 0 when the server could not be reached. */
export class Refused extends Error {
  constructor(status, message = "The server cannot be reached right now.") {
    super(message);
    this.status = status;
  }
}

export class OperatorRest {
  /** `token`: one, or an async function that gives one that is good now; it rejects with {status, message}, or without a network. */
  constructor(token, { fetch = globalThis.fetch.bind(globalThis) } = {}) {
    Object.assign(this, { token: typeof token === "function" ? token : async () => token, fetch });
  }

  /** The answer to a request of `/api/PATH`, with `more` of fetch's options; rejects with {status, message}. */
  async request(method, path, more = {}) {
    const headers = { Authorization: `Bearer ${await this.token().catch((fault) => { throw new Refused(fault.status ?? 0, fault.status ? fault.message : undefined); })}` };
    if (more.body) headers["Content-Type"] = "application/json";
    const answer = await this.fetch(`${ROOT}/api/${path}`, { method, headers, ...more }).catch(() => { throw new Refused(0); });
    if (answer.ok) return answer;
    const refusal = await answer.json().catch(() => null);
    throw new Refused(answer.status, refusal?.error?.message);
  }
}

export class ObserverApi extends OperatorRest {
  /** {tree, found, more} for a query of `GET /api/observer/tree`. */
  async tree(query) {
    return (await this.#ask("GET", `tree?${new URLSearchParams(query)}`)).json();
  }

  /** The open runs and those that ended last, of `GET /api/observer/runs`; so for the next five. */
  async runs() {
    return (await this.#ask("GET", "runs")).json();
  }

  async run(id) {
    return (await this.#ask("GET", `runs/${encodeURIComponent(id)}`)).json();
  }

  async users() {
    return (await this.#ask("GET", "users")).json();
  }

  async connections() {
    return (await this.#ask("GET", "connections")).json();
  }

  async health() {
    return (await this.#ask("GET", "health")).json();
  }

  async find(text) {
    return (await this.#ask("GET", `find?${new URLSearchParams({ text })}`)).json();
  }

  /** `part` confirms that the actor is a whole subsystem. */
  async kill(path, part) {
    return (await this.#ask("POST", "kill", { body: JSON.stringify(part ? { path, part } : { path }) })).json();
  }

  /** Calls `onEvent({kind, data})` until the stream ends; then resolves. */
  async follow(onEvent, signal) {
    const answer = await this.#ask("GET", "changes", { signal });
    const parser = new EventParser();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read().catch(() => ({ done: true }));
      if (done) return;
      parser.feed(value).forEach(onEvent);
    }
  }

  #ask(method, what, more = {}) {
    return this.request(method, `observer/${what}`, more);
  }
}

// Server-sent events out of a text that comes in pieces (WHATWG HTML, section 9.2.6).

export class EventParser {
  constructor() {
    this.rest = "";
    this.kind = "";
    this.data = [];
  }

  /** The events that are whole by now, as {kind, data}; `data` is what the JSON says. */
  feed(text) {
    const lines = (this.rest + text).split("\n"); // this server ends its lines with LF
    this.rest = lines.pop();
    return lines.map((line) => this.#line(line)).filter((event) => event !== null);
  }

  #line(line) {
    if (line === "") return this.#whole();
    const at = line.indexOf(":");
    const [name, value] = at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1).replace(/^ /, "")];
    if (name === "event") this.kind = value;
    else if (name === "data") this.data.push(value);
    return null;
  }

  #whole() {
    const [kind, data] = [this.kind || "message", this.data];
    [this.kind, this.data] = ["", []];
    return data.length > 0 ? { kind, data: JSON.parse(data.join("\n")) } : null;
  }
}
