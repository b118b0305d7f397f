/** REST client of the administration page. */

import { OperatorRest } from "../observer/rest.js";

export class AdminApi extends OperatorRest {
  /** The JSON of an answer, {} of one without content; rejects with {status, message}. */
  async ask(method, path, body = null) {
    const answer = await this.request(method, path, body ? { body: JSON.stringify(body) } : {});
    return answer.status === 204 ? {} : answer.json();
  }
}
