/**
 * The protocol client: one socket for every thread, that loses nothing.
 *
 * Usable from any page, or from Node: the WebSocket class, session, outbox, clock and timers are handed in.
 *
 * Listeners (`client.on(name, listener)` returns a function that takes it away again):
 *   events   a list of events in order, each once: the wire's, and `local.…` ones about this client's own messages
 *   state    {phase: "connecting" | "online" | "offline" | "refused", waiting, retryAt, reason, signIn}
 *   welcome  the first frame of each connection
 *   foreign  an event of a thread that is not followed here
 *   notice   an error or alert that belongs to no message: {code, message, error_id, thread_id}
 */

import { afterClose, backoff } from "./closing.js";
import { Cursors } from "./cursors.js";
import { Delivery, isRefusal, local } from "./delivery.js";
import { Line, Waits } from "./line.js";
import { SessionRefused } from "./session.js";

const LOST = afterClose(1006);
const RENEW_AGAIN_MS = 30_000;

export class Client {
  constructor({
    url, session, outbox, WebSocket, now = () => Date.now(), random = Math.random, isOnline = () => true,
    timers = { set: (work, ms) => setTimeout(work, ms), clear: (timer) => clearTimeout(timer) },
  }) {
    Object.assign(this, { url, session, outbox, WebSocket, now, random, isOnline, timers });
    this.cursors = new Cursors();
    this.waits = new Waits(timers);
    this.delivery = new Delivery({
      outbox, waits: this.waits, show: (events) => this.#emit("events", events),
      send: (payload) => this.current.phase === "online" && this.line.send({ type: "user_message", payload }),
    });
    this.listeners = new Map();
    this.cancelOnAccept = new Set();
    this.line = null;
    this.attempt = 0;
    this.neverOpened = 0; // handshakes in a row that did not open: the token may be why
    this.comeBackMs = 0; // what a `drain` asked for
    this.heartbeatMs = 25_000;
    this.current = { phase: "connecting", waiting: outbox.size, retryAt: null, reason: "" };
  }

  on(name, listener) {
    if (!this.listeners.has(name)) this.listeners.set(name, new Set());
    this.listeners.get(name).add(listener);
    return () => this.listeners.get(name).delete(listener);
  }

  /** Connects, and from now on stays connected. */
  start() {
    this.stopped = false;
    this.attempt = 0;
    return this.#connect();
  }

  stop() {
    this.stopped = true;
    this.#drop();
    this.#show("offline");
  }

  /** Looks whether the line is alive, or tries again at once: after sleep, or when the network came back. */
  probe() {
    if (this.stopped) return;
    if (this.current.phase === "online") this.line.ping();
    else if (this.waits.has("retry")) this.start();
  }

  /** The network is gone: there is no use in waiting for the socket to notice. */
  lost() {
    if (!this.stopped && this.current.phase !== "refused") this.#retry(LOST);
  }

  /** Follows a thread from the event after `seq`. `fresh`: a thread the server cannot know yet. */
  follow(threadId, seq = 0, { fresh = false } = {}) {
    this.cursors.follow(threadId, seq, !fresh);
    if (!fresh) this.#resume({ [threadId]: seq });
  }

  unfollow(threadId) {
    this.cursors.unfollow(threadId);
  }

  /** Asks again for everything after what is known; streamed text comes again from its beginning. */
  resync(threadId) {
    this.#resume({ [threadId]: this.cursors.seq(threadId) });
  }

  /** Goes on after `seq`: the history up to it was read in another way. */
  jump(threadId, seq) {
    this.cursors.jump(threadId, seq);
  }

  /** Sends a message now or as soon as there is a connection. `payload` names its message_id and thread_id. */
  say(payload) {
    if (!this.cursors.has(payload.thread_id)) this.cursors.follow(payload.thread_id, 0, false);
    const entry = this.outbox.add(payload, this.now());
    this.#emit("events", [local("said", payload, { ...payload, at: entry.at })]);
    this.delivery.pump();
    this.#count();
  }

  /** Stops a run; a message not yet accepted is stopped when it is, one that never left is taken back. */
  cancel({ runId = null, messageId = null }) {
    if (runId) return this.line?.send({ type: "cancel", payload: { run_id: runId } }) ?? false;
    if (this.outbox.get(messageId)?.attempts === 0) this.withdraw(messageId);
    else this.cancelOnAccept.add(messageId);
    return true;
  }

  /** Takes back a message that is still waiting. */
  withdraw(messageId) {
    const entry = this.outbox.remove(messageId);
    if (entry) this.#emit("events", [local("withdrawn", entry, { message_id: messageId })]);
    this.#count();
  }

  async #connect() {
    this.#drop();
    if (!this.isOnline()) return this.#retry(LOST);
    const attempt = Symbol("attempt");
    this.connecting = attempt;
    this.#show("connecting");
    try {
      if (this.neverOpened >= 2) await this.session.renew();
      const token = await this.session.token();
      if (this.connecting === attempt) this.#open(token);
    } catch (fault) {
      if (this.connecting !== attempt) return undefined;
      if (fault instanceof SessionRefused) this.#show("refused", { reason: fault.message, signIn: fault.status === 401 });
      else this.#retry(LOST);
    }
    return undefined;
  }

  #open(token) {
    const { url, WebSocket, timers, now, heartbeatMs } = this;
    this.neverOpened += 1;
    this.line = new Line({
      url, token, WebSocket, timers, now, heartbeatMs,
      onOpen: () => {
        this.neverOpened = 0;
        this.line.send({ type: "hello", payload: { batch: true, html: true } });
        this.cursors.reconnected();
        this.#resume(this.cursors.resumable());
      },
      onEvents: (events) => this.#events(events),
      onLost: (code) => this.#lostLine(afterClose(code)),
    });
  }

  #lostLine(meaning) {
    if (meaning.renew) this.neverOpened = 2;
    if (meaning.retry) return this.#retry(meaning);
    this.#drop();
    return this.#show("refused", { reason: meaning.sentence });
  }

  #retry({ atLeast, sentence }) {
    this.#drop();
    const delay = Math.max(backoff(this.attempt, this.random), atLeast, this.comeBackMs);
    this.attempt += 1;
    this.comeBackMs = 0;
    this.#show("offline", { retryAt: this.now() + delay, reason: atLeast > 0 ? sentence : "" });
    this.waits.set("retry", delay, () => this.#connect());
  }

  #drop() {
    this.connecting = null;
    this.waits.clearAll();
    const { line } = this;
    this.line = null;
    line?.drop();
    this.delivery.interrupted();
  }

  #events(events) {
    const taken = [];
    for (const event of events) {
      // A refusal answers this connection alone: it counts also for a thread that is not followed.
      const verdict = isRefusal(event) ? "take" : this.cursors.judge(event);
      if (event.type === "message_accepted") this.#accepted(event, event.data);
      if (verdict === "gap") this.resync(event.thread_id);
      if (verdict === "foreign") this.#emit("foreign", event);
      const shown = verdict === "take" ? this.#own(event, event.data ?? {}) : null;
      if (shown) taken.push(shown);
    }
    if (taken.length > 0) this.#emit("events", taken);
  }

  /** What this client itself does about an event; returns the event to show, or null. */
  #own(event, data) {
    if (event.type === "welcome") this.#welcomed(event, data);
    else if (event.type === "drain") this.comeBackMs = (data.reconnect_after_s ?? 1) * 1000 * (1 + this.random());
    else if (event.type === "alert") this.#notice(event, { code: "alert", ...data });
    else if (isRefusal(event)) return this.#fault(event, data);
    else if (event.type !== "ping" && event.type !== "pong") return event;
    return null;
  }

  #welcomed(event, data) {
    this.attempt = 0;
    if (data.heartbeat_s > 0) this.heartbeatMs = this.line.heartbeatMs = data.heartbeat_s * 1000;
    if (typeof data.session_token === "string") this.session.adopt(data.session_token);
    this.#show("online");
    this.#emit("welcome", event);
    this.delivery.pump();
    this.#planRenewal();
  }

  /** A fault outside a run: about the token, about a message of ours, or about nothing we can point at. */
  #fault(event, data) {
    if (data.code === "token_expired") {
      this.#renew();
      return null;
    }
    const shown = this.delivery.refused(event, data);
    this.#count();
    return shown ?? this.#notice(event, data);
  }

  #notice(event, data) {
    this.#emit("notice", {
      code: data.code, message: data.message || event.message, error_id: data.error_id ?? null, thread_id: event.thread_id ?? null,
    });
    return null;
  }

  #accepted({ thread_id: threadId, run_id: runId }, data) {
    const entry = this.delivery.accepted(data.message_id);
    this.cursors.exists(threadId);
    // Sent twice: the first may have arrived on a connection whose later events we never saw.
    if (entry?.attempts > 1 && !this.line.resumed.has(threadId)) this.resync(threadId);
    if (this.cancelOnAccept.delete(data.message_id)) this.cancel({ runId: data.run_id ?? runId });
    if (entry) this.#count();
  }

  #resume(threads) {
    const names = Object.keys(threads);
    if (names.length === 0 || !this.line?.send({ type: "resume", payload: { threads } })) return;
    for (const name of names) this.line.resumed.add(name);
  }

  #planRenewal() {
    const delay = this.session.renewIn();
    if (delay !== null) this.waits.set("renew", delay, () => this.#renew());
  }

  async #renew() {
    const { line } = this;
    try {
      const token = await this.session.renew();
      if (this.line !== line) return;
      line?.send({ type: "refresh", payload: { session_token: token } });
      this.#planRenewal();
    } catch { // no network, or refused: the socket will tell which
      if (this.line === line) this.waits.set("renew", RENEW_AGAIN_MS, () => this.#renew());
    }
  }

  #count() {
    this.#show(this.current.phase, this.current);
  }

  #show(phase, { retryAt = null, reason = "", signIn = false } = {}) {
    this.current = { phase, waiting: this.outbox.size, retryAt, reason, signIn };
    this.#emit("state", this.current);
  }

  #emit(name, value) {
    for (const listener of this.listeners.get(name) ?? []) listener(value);
  }
}
