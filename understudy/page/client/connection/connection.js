/**
 * Stays connected: opens one socket after another with a valid token, after growing pauses or when the server says.
 *
 * `status` is {phase: "connecting" | "online" | "offline" | "refused", retryAt (ms), reason, signIn, draining}; it is
 * `draining` from the moment the server says that it goes away until the next welcome, or until it has been away for so
 * long that it is no restart any more.
 */

import { afterClose, backoff } from "./close_codes.js";
import { CAN_GUNZIP } from "./frame_reader.js";
import { Socket } from "./socket.js";
import { SessionRefused } from "./session.js";
import { Timers } from "../listeners_and_timers.js";

const LOST = afterClose(1006);
const RENEW_AGAIN_MS = 30_000;
const RESTART_MS = 120_000; // after this a server that said it goes away is simply not there
const FRAME_BYTES = 256 * 1024; // what a server takes that does not say
const FILE_BYTES = 20 * 1024 * 1024;
const IDLE = Object.freeze({ phase: "offline", retryAt: null, reason: "", signIn: false, draining: false });

/** Whether a refusal may be about the token: the one in use, or a newer one that was shown. */
function aboutToken({ message_id: messageId, thread_id: threadId, run_id: runId }, { code }) {
  if (runId) return false;
  return code === "token_expired" || (!messageId && !threadId && (code === "forbidden" || code === "unauthenticated"));
}

export class Connection {
  /**
   * `onOpen(awayMs)`: the handshake is done, commands may be sent; nothing was heard for so long. `onEvents(list)`: everything the server said.
   * `onLost()`: the socket is closed. `onStatus(status)`: it changed. `watched` is a window, or null.
   */
  constructor({ url, session, WebSocket, timers, now, random, isOnline, watched, onOpen, onEvents, onLost, onStatus }) {
    this.url = url;
    this.session = session;
    this.WebSocket = WebSocket;
    this.timers = timers;
    this.now = now;
    this.random = random;
    this.isOnline = isOnline;
    this.watched = watched;
    this.onOpen = onOpen;
    this.onEvents = onEvents;
    this.onLost = onLost;
    this.onStatus = onStatus;
    this.timeouts = new Timers(timers);
    this.socket = null;
    this.heardAt = now(); // when a socket before this one carried something last: a computer asleep closes none
    this.status = IDLE;
    this.stopped = true;
    this.attempt = 0;
    this.neverOpened = 0; // handshakes in a row that did not open: the token may be why
    this.drainEnds = -Infinity; // until when a server that went away is said to restart
    this.drainMs = 0; // what a `drain` asked for, until that has been waited for
    this.heartbeatMs = 25_000;
    this.listening = null;
    this.capabilities = new Set(); // what the server can do, by its last welcome
    this.limits = {};
    this.user = null; // whose connection this is, by the last welcome
    this.refreshedAt = -Infinity; // when a newer token was shown on this connection
  }

  /** The largest size of a file, in bytes. */
  get maxFileBytes() {
    return this.limits.file_bytes ?? FILE_BYTES;
  }

  /** The largest size of a command, in one frame or in parts, in bytes. */
  get maxCommandBytes() {
    const { frame_bytes: frame = FRAME_BYTES, chunks_bytes: chunks = frame } = this.limits;
    return this.capabilities.has("chunk") ? chunks : frame;
  }

  get online() {
    return this.status.phase === "online";
  }

  /** Connects, and from now on stays connected. */
  start() {
    this.stopped = false;
    this.attempt = this.drainMs = 0;
    this.#listen();
    return this.#connect();
  }

  stop() {
    this.stopped = true;
    this.listening?.abort();
    this.listening = null;
    this.#drop();
    this.#show({ phase: "offline" });
  }

  /** Pings the server, or reconnects at once: after sleep, or when the network is back. */
  probe() {
    if (this.stopped) return;
    if (this.online) this.socket.ping();
    else if (this.timeouts.has("retry") && this.drainMs === 0) this.start();
  }

  /** The network is gone: reconnect without waiting for the socket to notice. */
  lost() {
    if (!this.stopped && this.status.phase !== "refused") this.#retry(LOST);
  }

  /** True when the command was handed to an open socket. */
  send(command) {
    return this.socket?.send(command) ?? false;
  }

  /** Handle an event about the connection itself. True if no other part needs it. */
  take(event, data) {
    if (event.type === "welcome") this.#welcomed(data);
    else if (event.type === "drain") this.#drained(data);
    else if (event.type === "error" && aboutToken(event, data)) return this.#refusedToken(data.code);
    return false;
  }

  /** The token is too old, or the newer one was refused: then a new connection is made with it. */
  #refusedToken(code) {
    const refreshed = this.now() - this.refreshedAt < RENEW_AGAIN_MS;
    if (refreshed) this.#retry(LOST);
    else if (code === "token_expired") this.#renew();
    return refreshed || code === "token_expired";
  }

  #listen() {
    if (!this.watched || this.listening) return;
    this.listening = new AbortController();
    const options = { signal: this.listening.signal };
    const { document } = this.watched;
    this.watched.addEventListener("online", () => this.probe(), options);
    this.watched.addEventListener("offline", () => this.lost(), options);
    this.watched.addEventListener("pageshow", (event) => event.persisted && this.probe(), options);
    document?.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.probe(), options);
  }

  async #connect() {
    this.#drop();
    if (!this.isOnline()) {
      this.#retry(LOST);
      return;
    }
    const attempt = Symbol("attempt");
    this.connecting = attempt;
    this.#show({ phase: "connecting" });
    try {
      if (this.neverOpened >= 2) await this.session.renew();
      const token = await this.session.token();
      if (this.connecting === attempt) this.#open(token);
    } catch (fault) {
      if (this.connecting !== attempt) return;
      if (fault instanceof SessionRefused) this.#show({ phase: "refused", reason: fault.message, signIn: fault.status === 401 });
      else this.#retry(LOST);
    }
  }

  #open(token) {
    const { url, WebSocket, timers, now, heartbeatMs, onEvents } = this;
    this.neverOpened += 1;
    this.socket = new Socket({
      url, token, WebSocket, timers, now, heartbeatMs, onEvents,
      onOpen: () => {
        this.neverOpened = 0;
        this.socket.send({ type: "hello", payload: { batch: true, chunk: true, gzip: CAN_GUNZIP } });
        this.onOpen(this.now() - this.heardAt);
      },
      onLost: (code) => this.#socketLost(afterClose(code)),
    });
  }

  #socketLost(meaning) {
    if (meaning.renew) this.neverOpened = 2;
    if (meaning.retry) {
      this.#retry(meaning);
      return;
    }
    this.#drop();
    this.#show({ phase: "refused", reason: meaning.sentence });
  }

  #retry({ atLeast, sentence }) {
    this.#drop();
    // Where the server said when, it has spread its clients itself.
    const delay = this.drainMs || Math.max(backoff(this.attempt, this.random), atLeast);
    this.attempt += 1;
    this.#show({ phase: "offline", retryAt: this.now() + delay, reason: atLeast > 0 ? sentence : "" });
    this.timeouts.set("retry", delay, () => {
      this.drainMs = 0;
      this.#connect();
    });
  }

  #drop() {
    this.connecting = null;
    this.timeouts.clearAll();
    const { socket } = this;
    this.socket = null;
    this.heardAt = socket?.heardAt ?? this.heardAt;
    socket?.drop();
    if (socket) this.onLost();
  }

  #welcomed(data) {
    const { socket } = this;
    this.attempt = this.drainMs = 0;
    if (data.heartbeat_s > 0) this.heartbeatMs = socket.heartbeatMs = data.heartbeat_s * 1000;
    this.user = data.user ?? null;
    this.refreshedAt = -Infinity;
    this.limits = data.limits ?? {};
    this.capabilities = new Set(data.capabilities ?? []);
    if (this.capabilities.has("chunk") && this.limits.frame_bytes > 0) socket.chunkBytes = this.limits.frame_bytes;
    if (typeof data.session_token === "string") this.session.adopt(data.session_token, { anonymous: true });
    this.status = IDLE;
    this.#show({ phase: "online" });
    this.#planRenewal();
  }

  /** The server drains: this socket starts nothing new, and the next one is opened when the server is back. */
  #drained({ reconnect_after_s: afterS = 1 }) {
    this.drainMs = Math.max(afterS * 1000, 1);
    this.drainEnds = this.now() + RESTART_MS;
    this.#show({ ...this.status, draining: true });
  }

  #planRenewal() {
    const delay = this.session.renewIn();
    if (delay !== null) this.timeouts.set("renew", delay, () => this.#renew());
  }

  async #renew() {
    const { socket } = this;
    try {
      const token = await this.session.renew();
      if (this.socket !== socket) return;
      const { user } = this.session.stored ?? {};
      if (this.user && user && user !== this.user) { // another one has signed in, perhaps in another tab
        this.start();
        return;
      }
      this.send({ type: "refresh", payload: { session_token: token } });
      this.refreshedAt = this.now();
      this.#planRenewal();
    } catch { // no network, or refused: the socket will tell which
      if (this.socket === socket) this.timeouts.set("renew", RENEW_AGAIN_MS, () => this.#renew());
    }
  }

  #show({ phase, retryAt = null, reason = "", signIn = false, draining = this.status.draining && this.now() < this.drainEnds }) {
    /** @type {{phase: "connecting"|"online"|"offline"|"refused", retryAt: number|null, reason: string, signIn: boolean, draining: boolean}} */
    this.status = { phase, retryAt, reason, signIn, draining };
    this.onStatus(this.status);
  }
}
