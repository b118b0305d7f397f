/** Reads a shared conversation, page by page from its end. Pure: knows nothing of the document. */

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
    const address = `/api/shared/${encodeURIComponent(this.token)}?skip=${this.older ?? 0}`;
    const answer = await this.fetch(address, { credentials: "omit", referrerPolicy: "no-referrer", signal: AbortSignal.timeout(READ_MS) });
    if (answer.status === 404) {
      this.older = null;
      return null;
    }
    if (!answer.ok) throw new Error(`${answer.status}`);
    const page = await answer.json();
    this.older = page.older;
    return page;
  }
}
