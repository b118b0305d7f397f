/**
 * The session token: made once, kept in storage, renewed before it runs out, shared between tabs.
 *
 * A token is renewed rather than replaced whenever that is possible: a new session may be a new user, who has
 * none of the old one's threads.
 */

const KEY = "understudy.session";
const EARLY_MS = 5 * 60_000; // renew this long before the end, or at four fifths of a shorter life

/** The server refused to give or renew a session: `message` is a sentence for the user. */
export class SessionRefused extends Error {}

export class Session {
  /** `fetch` as in the browser; `storage` as `localStorage`; `now()` in milliseconds. */
  constructor({ fetch, storage, now = () => Date.now(), base = "" }) {
    this.fetch = fetch;
    this.storage = storage;
    this.now = now;
    this.base = base;
    this.pending = null;
  }

  /** What is stored: {session_token, user, session, expiresAt (ms), madeAt (ms)}, or null. */
  get stored() {
    try {
      const value = JSON.parse(this.storage.getItem(KEY) ?? "null");
      return typeof value?.session_token === "string" ? value : null;
    } catch {
      return null;
    }
  }

  /** A token good for use now. Raises SessionRefused, or what `fetch` raises when there is no network. */
  async token() {
    const held = this.stored;
    if (held && this.now() < held.expiresAt - 1_000) return held.session_token;
    return this.#once(() => (held ? this.#renewOrStart() : this.#start()));
  }

  /** A newer token for the same session, even when the present one is still good. */
  async renew() {
    return this.#once(() => (this.stored ? this.#renewOrStart() : this.#start()));
  }

  /** Keeps a token that arrived over the socket. */
  adopt(token, expiresAt = null) {
    const ends = expiresAt ?? expiryOf(token) ?? this.now() + 3_600_000;
    this.#keep({ session_token: token, expires_at: ends / 1000 });
  }

  /** Milliseconds until the token should be renewed (0 or more); null when there is none. */
  renewIn() {
    const held = this.stored;
    if (!held) return null;
    const life = Math.max(held.expiresAt - held.madeAt, 0);
    return Math.max(held.expiresAt - Math.min(EARLY_MS, life / 5) - this.now(), 0);
  }

  #once(work) {
    this.pending ??= work().finally(() => { this.pending = null; });
    return this.pending;
  }

  async #start() {
    return this.#ask("/api/sessions", {});
  }

  async #renewOrStart() {
    try {
      return await this.#ask("/api/sessions/refresh", { Authorization: `Bearer ${this.stored.session_token}` });
    } catch (fault) {
      if (!(fault instanceof SessionRefused) || fault.status !== 401) throw fault;
      return this.#start();
    }
  }

  async #ask(path, headers) {
    const answer = await this.fetch(this.base + path, { method: "POST", headers });
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok || typeof body.session_token !== "string") {
      const refusal = new SessionRefused(body.error?.message ?? "The server gave no session.");
      refusal.status = answer.status;
      if (answer.status >= 500 || answer.status === 429) throw new Error(refusal.message);
      throw refusal;
    }
    return this.#keep(body);
  }

  #keep(body) {
    const expiresAt = milliseconds(body.expires_at) ?? expiryOf(body.session_token) ?? this.now() + 3_600_000;
    const value = {
      session_token: body.session_token, user: body.user ?? null, session: body.session ?? null,
      expiresAt, madeAt: this.now(),
    };
    this.storage.setItem(KEY, JSON.stringify(value));
    return body.session_token;
  }
}

function milliseconds(value) {
  if (typeof value === "number") return value * 1000;
  const parsed = Date.parse(value ?? "");
  return Number.isNaN(parsed) ? null : parsed;
}

function expiryOf(token) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return typeof claims.exp === "number" ? claims.exp * 1000 : null;
  } catch {
    return null;
  }
}
