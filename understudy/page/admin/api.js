/** REST client of the administration page. */

import { OperatorRest, Refused } from "../observer/rest.js";

const ASK_MS = 30_000; // a broken connection may accept a request and never answer

export class AdminApi extends OperatorRest {
  /** The JSON of an answer, {} of one without content; rejects with {status, message}. */
  async ask(method, path, body = null) {
    const signal = AbortSignal.timeout(ASK_MS);
    const answer = await this.request(method, path, body ? { signal, body: JSON.stringify(body) } : { signal });
    return answer.status === 204 ? {} : answer.json().catch(() => { throw new Refused(0); }); // it ended in the middle
  }
}
