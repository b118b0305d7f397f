/** REST client of the operators' page. */

import { EventParser } from "./events.js";
import { OperatorRest } from "./rest.js";

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
