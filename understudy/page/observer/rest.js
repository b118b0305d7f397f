/** Requests of the pages for operators. The token goes in a header only: addresses end up in logs. */

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
