/** Reads a shared conversation, page by page from its end. Pure: knows nothing of the document. */

import { ROOT } from "../client/address.js";

const READ_MS = 20_000;

/** The token in the path of a link; "" if there is none. */
export function tokenIn(pathname) {
  const [, part = ""] = /^\/share\/([^/]+)$/u.exec(pathname) ?? [];
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

export class SharedReader {
  /** `fetch` as the browser's. */
  constructor(token, fetch) {
    Object.assign(this, { token, fetch });
    this.older = 0;
    this.pages = new Map(); // id of a file -> how many turns were left out where its answer was read
  }

  /** Whether there is more before what was read. */
  get more() {
    return this.older !== null;
  }

  /**
   * The next page, {title, created_at, expires_at, messages}; null if the link does not exist any more. Rejects if the
   * server cannot answer now: then it can be asked again.
   */
  async next() {
    const answer = await this.#ask("", this.older ?? 0);
    if (answer.status === 404) {
      this.older = null;
      return null;
    }
    if (!answer.ok) throw new Error(`${answer.status}`);
    const page = await answer.json();
    for (const { files = [] } of page.messages) for (const { id } of files) this.pages.set(id, this.older ?? 0);
    this.older = page.older;
    return page;
  }

  /** Resolves to a made file's content: {blob()}; rejects with {status}. */
  async file(id) {
    return this.#made(id, "");
  }

  /** Resolves to the preview of a made file, as the API's `preview`. */
  async preview(id) {
    return (await this.#made(id, "/preview")).json();
  }

  async #made(id, what) {
    const answer = await this.#ask(`/files/${encodeURIComponent(id)}${what}`, this.pages.get(id) ?? 0);
    if (!answer.ok) throw Object.assign(new Error(`${answer.status}`), { status: answer.status });
    return answer;
  }

  #ask(path, skip) {
    const address = `${ROOT}/api/shared/${encodeURIComponent(this.token)}${path}?skip=${skip}`;
    return this.fetch(address, { credentials: "omit", referrerPolicy: "no-referrer", signal: AbortSignal.timeout(READ_MS) });
  }
}
