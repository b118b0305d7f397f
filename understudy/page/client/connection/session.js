/**
 * The session token: made once, kept in storage, renewed before it runs out, shared between tabs.
 *
 * A token is renewed rather than replaced whenever that is possible: a new session may be a new user, who has
 * none of the old one's threads.
 */

import { errorText, t } from "../messages.js";

export const KEY = "understudy.session";
const EARLY_MS = 5 * 60_000; // renew this long before the end, or at four fifths of a shorter life
const BETWEEN_MS = 30_000; // two renewals are never closer, whatever a token says
const HOUR_MS = 3_600_000;
const ASK_MS = 10_000; // a broken connection may accept the request and never answer

/** The server refused to give or renew a session: `message` is a sentence for the user, `status` and `code` are the answer's. */
export class SessionRefused extends Error {
  constructor(message, status = 401, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class Session {
  /**
   * `fetch` as in the browser; `storage` as `localStorage`; `now()` in milliseconds; `base` stands before the paths of
   * REST. `token`: one to begin with, or an async function that gives one, also when it has to be renewed. Whoever
   * hands in a token never becomes an anonymous user instead.
   */
  constructor({ fetch, storage, now = () => Date.now(), base = "", token = null }) {
    this.fetch = fetch;
    this.storage = storage;
    this.now = now;
    this.base = base;
    this.pending = null;
    this.obtained = false;
    /** @type {(how: {ranOut: boolean}) => void} */
    this.onOver = () => {}; // the session was ended, or has run out: its words must not stay
    this.obtain = typeof token === "function" ? token : null;
    this.named = token !== null;
    if (typeof token === "string" && this.stored?.first !== token) {
      this.adopt(token);
      this.storage.setItem(KEY, JSON.stringify({ ...this.stored, first: token }));
    }
  }

  /**
   * The stored session: {session_token, user, session, anonymous, expiresAt, madeAt, renewedAt}, or null. The times are in
   * milliseconds of this computer's clock, which may be wrong: a token's life counts from when it was received.
   */
  get stored() {
    try {
      const value = JSON.parse(this.storage.getItem(KEY) ?? "null");
      if (typeof value?.session_token !== "string") return null;
      return { ...value, expiresAt: value.expiresAt ?? expiryOf(value.session_token) ?? 0, madeAt: value.madeAt ?? this.now() };
    } catch {
      return null;
    }
  }

  /** A token good for use now. Raises SessionRefused, or what `fetch` raises when there is no network. */
  async token() {
    const held = this.stored;
    const usable = held && (!this.obtain || this.obtained);
    if (usable && this.now() < held.expiresAt - 1_000) {
      this.storage.open();
      return held.session_token;
    }
    return this.renew();
  }

  /** A newer token for the same session, even when the present one is still good. Raises as `token` does. */
  async renew() {
    const held = this.stored;
    if (held && (!this.obtain || this.obtained) && this.#mayRenewIn(held) > 0) return held.session_token;
    return this.#once(async () => {
      const first = this.obtain ? !this.obtained : !this.stored;
      const token = await (this.stored && !this.obtain ? this.#renewOrStart() : this.#start());
      const { stored } = this;
      if (!first && stored?.session_token === token) this.storage.setItem(KEY, JSON.stringify({ ...stored, renewedAt: this.now() }));
      return token;
    });
  }

  /** Keeps a token that arrived in another way, and gives it back. */
  adopt(token, { anonymous = false } = {}) {
    const { sub: user = null, sid: session = null } = claimsOf(token);
    return this.#keep({ session_token: token, user, session }, anonymous, leftOf(token, this.now()));
  }

  /**
   * Keeps the session that `ask(token)` resolves to, of the same user: the server refuses the present token from then on.
   * Renewals wait for it meanwhile.
   */
  async replace(ask) {
    const token = await this.token();
    while (this.pending) await this.pending.catch(() => {});
    return this.#once(async () => this.#keepNew(await ask(this.stored?.session_token ?? token), false));
  }

  /** Forgets the token, and with it all that was stored of its user. `ranOut`: nobody has ended it; its time was over. */
  end({ ranOut = false } = {}) {
    this.onOver({ ranOut });
    this.storage.removeItem(KEY);
  }

  /** Milliseconds until the token should be renewed (0 or more); null when there is none. */
  renewIn() {
    const held = this.stored;
    if (!held) return null;
    const life = Math.max(held.expiresAt - held.madeAt, 0);
    return Math.max(held.expiresAt - Math.min(EARLY_MS, life / 5) - this.now(), this.#mayRenewIn(held), 0);
  }

  /** Milliseconds until the next renewal may be; 0 or less if it may. */
  #mayRenewIn({ renewedAt }) {
    const since = this.now() - (renewedAt ?? -Infinity);
    return since < 0 ? 0 : BETWEEN_MS - since; // the clock was set back
  }

  #once(work) {
    this.pending ??= work().finally(() => { this.pending = null; });
    return this.pending;
  }

  async #start() {
    if (this.obtain) {
      const token = await this.obtain();
      this.obtained = true;
      return this.adopt(token);
    }
    if (this.named) throw new SessionRefused(t("session.ended"));
    return this.#ask("/api/sessions", {}, true);
  }

  async #renewOrStart() {
    const { session_token: token, anonymous = false, expiresAt } = this.stored;
    try {
      return await this.#ask("/api/sessions/refresh", { Authorization: `Bearer ${token}` }, anonymous);
    } catch (fault) {
      if (!(fault instanceof SessionRefused)) throw fault;
      const { session_token: newer = token } = this.stored ?? {};
      if (newer !== token) return newer; // another tab has renewed it meanwhile
      if (fault.status !== 401 && this.now() < expiresAt) throw fault; // it is still valid, but cannot be renewed
      this.end({ ranOut: fault.code === "token_expired" });
      return this.#start();
    }
  }

  async #ask(path, headers, anonymous) {
    const answer = await this.fetch(this.base + path, { method: "POST", headers, signal: AbortSignal.timeout(ASK_MS) });
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok || typeof body.session_token !== "string") {
      if (answer.ok) throw new Error(t("session.cut_off")); // by the network: no refusal
      // Whatever the server itself does not say, a proxy may have said, in whose way it is: that passes.
      if ((answer.status !== 401 && answer.status !== 403) || !body.error?.code) throw new Error(t("session.none"));
      throw new SessionRefused(errorText(body.error), answer.status, body.error.code);
    }
    return this.#keepNew(body, anonymous, Date.parse(answer.headers?.get("date") ?? ""));
  }

  /** Keeps a token that was made at this moment, which the server's clock calls `sentAt` (ms), if that is known. */
  #keepNew(body, anonymous, sentAt = NaN) {
    const sent = Number.isNaN(sentAt) ? this.now() : sentAt;
    return this.#keep(body, anonymous, lifeOf(body.session_token) ?? (milliseconds(body.expires_at) ?? sent + HOUR_MS) - sent);
  }

  #keep(body, anonymous, lifeMs) {
    const { first = null, renewedAt = null } = this.stored ?? {};
    const value = {
      session_token: body.session_token, user: body.user ?? null, session: body.session ?? null, anonymous: body.anonymous ?? anonymous,
      expiresAt: this.now() + lifeMs, madeAt: this.now(), renewedAt, first,
    };
    this.storage.open();
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
  const { exp } = claimsOf(token);
  return typeof exp === "number" ? exp * 1000 : null;
}

/** Returns a JWT's whole lifetime in milliseconds; null if it states none. */
function lifeOf(token) {
  const { iat, exp } = claimsOf(token);
  return typeof exp === "number" && typeof iat === "number" && exp > iat ? (exp - iat) * 1000 : null;
}

/** Returns the remaining lifetime of a JWT in milliseconds, at most its whole lifetime if it states one. */
function leftOf(token, now) {
  const life = lifeOf(token);
  const left = (expiryOf(token) ?? now + HOUR_MS) - now;
  return life === null || (left > 0 && left <= life) ? left : life;
}

/** Returns the claims of a JWT; {} if it is none. They are not verified: the server checks each claim itself. */
function claimsOf(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))) ?? {};
  } catch {
    return {};
  }
}

// Clears the browser's storage and memory at the end of a session.

export const USER = "understudy.user"; // whose words are kept
export const LEFT = "understudy.left"; // what was being written when a session ran out, for its user alone
const PREFERENCES = ["understudy.theme", "understudy.density", "understudy.language", "understudy.dir"]; // say nothing of anybody

const COPIES = ["understudy.draft.", "understudy.history.", "understudy.files", "understudy.agents", "understudy.threads"];

const CACHES_MS = 1_000; // the page is drawn anew afterwards, whatever the browser does with them

/** Deletes what a service worker keeps; the files of the page are fetched again. */
async function clearCaches(caches) {
  try {
    await Promise.all((await caches.keys()).map((name) => caches.delete(name)));
  } catch {
    // not in a page of another site's frame, or in a private window: then nothing is kept there either
  }
}

const clearCachesSoon = (caches) => Promise.race([clearCaches(caches), new Promise((resolve) => setTimeout(resolve, CACHES_MS))]);

/** Forgets drafts and what can be read from the server again; who is signed in, and what waits to be sent, stay. */
export async function clearCopies(storage, caches) {
  for (const prefix of COPIES) storage.clear(prefix, []);
  if (caches) await clearCachesSoon(caches);
}

/**
 * Forgets when the session is over, here or in another tab. `parts()` gives what holds words in memory, each with a
 * `clear`; `onEnd()` is called afterwards. Before, `onRunOut()` may set aside what its user is to find again (`LEFT`), if the session
 * was not ended but has run out. The storage is closed until a session is used again.
 */
export function forgetAtSessionEnd({ session, storage, window, parts, onRunOut = () => {}, onEnd }) {
  const end = async (kept, ranOut) => {
    if (ranOut) onRunOut();
    for (const part of parts()) part.clear();
    storage.clear("understudy.", kept);
    storage.close();
    if (window?.caches) await clearCachesSoon(window.caches);
    onEnd();
  };
  session.onOver = ({ ranOut }) => end(ranOut ? [...PREFERENCES, LEFT] : PREFERENCES, ranOut);
  window?.addEventListener?.("storage", ({ key, newValue }) => {
    if (key === KEY && newValue === null) end([...PREFERENCES, KEY, USER, LEFT], storage.getItem(LEFT) !== null); // the other tab may have begun a new session
  });
}

// The roles that open the operators' pages, as the server names them.

export const OPERATORS = Object.freeze(["operator", "server_operator"]);
export const SERVER_AUDITOR = "server_auditor";
export const AUDITORS = Object.freeze(["auditor", SERVER_AUDITOR]);

/** Whether somebody with these roles has one of those that are wanted. */
export const hasOne = (roles, wanted) => roles.some((role) => wanted.includes(role));
