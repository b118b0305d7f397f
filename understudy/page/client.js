/**
 * The protocol client: one socket for every agent and every thread, that loses nothing.
 *
 * Usable from any page, and from Node with a WebSocket class handed in:
 *
 *     const client = new Client({ url, WebSocket });
 *     client.on("change", ({ state }) => show(visible(state)));
 *     client.start();
 *     await client.switchAgent("guide");
 *     client.say("What is 15% of 80?");
 *
 * Its parts stand in `client/`: `connection.js` reconnects, `frame_reader.js` decodes, `subscriptions.js` orders events,
 * `outbox.js` and `delivery.js` get messages accepted, `threads.js` holds states, `history_cache.js` persists them.
 */

import { Acks } from "./client/threads/cursors.js";
import { errorText } from "./client/messages.js";
import { ownSocket, restBase } from "./client/address.js";
import { Api } from "./client/api.js";
import { BranchCommands } from "./client/sending/branch_commands.js";
import { Connection } from "./client/connection/connection.js";
import { Delivery, isRefusal, local, ReliableCommands, messageCommand, queuedEvent, Tabs } from "./client/sending/delivery.js";
import { forgetAtSessionEnd, USER, Session } from "./client/connection/session.js";
import { FreshThreads, isOnServer, agentKey, CurrentThreads } from "./client/threads/known_threads.js";
import { Subscriptions } from "./client/threads/subscriptions.js";
import { HistoryCache } from "./client/threads/history_cache.js";
import { randomId } from "./client/ids.js";
import { browserStorage, safeStorage } from "./client/safe_storage.js";
import { Listeners, REAL_TIMERS, Timers } from "./client/listeners_and_timers.js";
import { Outbox } from "./client/sending/outbox.js";
import { Threads } from "./client/threads/threads.js";

export { beside, older, visible } from "./client/threads/branches.js";

const TYPING_MS = 3_000;
const AGAIN_S = 3;
const AWAY_MS = 60_000; // what was missed in a longer time is read, not played
const DEFAULT_AGENT = "guide";

/**
 * @typedef {object} Say
 * @property {string} content
 * @property {string} [thread_id] the agent's own thread unless given
 * @property {string} [message_id] made here unless given; the same one again is the same message
 * @property {string} [agent_type] the current agent unless given
 * @property {string|null} [pillar]
 * @property {string[]} [references] ids of uploaded files
 * @property {string|null} [parent_id] the answer that it follows; the end of the branch that is shown unless given
 *
 * @typedef {object} State the value of the event `state`
 * @property {"connecting"|"online"|"offline"|"refused"} phase
 * @property {number} waiting messages the server has not accepted
 * @property {number|null} retryAt when it is tried again, in ms
 * @property {string} reason a sentence, or ""
 * @property {boolean} signIn a token is needed
 * @property {boolean} draining the server has said that it goes away
 */

export class Client extends BranchCommands {
  /**
   * @param {object} [options]
   * @param {string} [options.url] of the WebSocket; on a page, that of its own server
   * @param {string|(() => Promise<string>)} [options.token] to come as a certain user; else POST /api/sessions gives one
   * @param {Storage} [options.storage] localStorage on a page, else memory
   * @param {typeof WebSocket} [options.WebSocket]
   * @param {typeof fetch} [options.fetch]
   * @param {Window|null} [options.window] whose online, offline, storage and visibility events are heeded
   * @param {boolean} [options.paged] threads are opened by their last page, read over REST, instead of their whole log; so is
   *   what they missed while there was no connection for a minute
   * @param {(threadId: string) => boolean} [options.readsAbove] whether somebody reads turns before the end, which must stay then
   */
  constructor({
    url = ownSocket(globalThis.location), token = null, storage = browserStorage(), WebSocket = globalThis.WebSocket,
    fetch = globalThis.fetch.bind(globalThis), window = globalThis.document ? globalThis.window : null,
    now = () => Date.now(), random = Math.random, timers = REAL_TIMERS, isOnline = () => globalThis.navigator?.onLine !== false,
    paged = false, readsAbove = () => false,
  } = {}) {
    super();
    Object.assign(this, { window, now });
    const base = restBase(url, window?.location);
    this.storage = safeStorage(storage);
    this.session = new Session({ fetch, storage: this.storage, now, base, token });
    const parts = () => [this.threads, this.currentThreads, this.outbox];
    this.leadsTo = null; // where the identity provider signs the user out too
    forgetAtSessionEnd({ session: this.session, storage: this.storage, window, parts, onRunOut: () => this.#emit("expiring"), onEnd: () => this.#emit("over", { url: this.leadsTo }) });
    this.api = new Api(this.session, { fetch, base });
    this.listeners = new Listeners();
    this.timeouts = new Timers(timers); // of one connection; `late` ones outlive it
    this.lateTimeouts = new Timers(timers);
    this.currentThreads = new CurrentThreads(this.storage);
    this.freshThreads = new FreshThreads(this.storage);
    this.outbox = new Outbox(this.storage, { window, now });
    this.connection = new Connection({
      url, session: this.session, WebSocket, timers, now, random, isOnline, watched: window,
      onOpen: (awayMs) => this.#opened(awayMs), onEvents: (events) => this.subscriptions.take(events), onLost: () => this.delivery.interrupted(), onStatus: () => this.#count(),
    });
    this.subscriptions = new Subscriptions({
      send: (command) => this.connection.send(command), onForeign: (event) => this.#emit("foreign", event),
      onEvent: (event, fresh) => this.#handle(event, event.data ?? {}, fresh), onEvents: (events) => this.#arrived(events),
    });
    const send = (command) => this.connection.online && this.connection.send(command);
    this.reliable = new ReliableCommands(send);
    this.acks = new Acks({ send, timeouts: this.timeouts });
    this.delivery = new Delivery({
      outbox: this.outbox, timeouts: this.timeouts, show: (events) => this._show(events),
      send: (command) => !this.connection.status.draining && send(command),
    });
    this.threads = new Threads({
      subscriptions: this.subscriptions, history: new HistoryCache(this.storage, { now }), timeouts: this.lateTimeouts, readHistory: (threadId) => this.api.history(threadId),
      readLatest: (threadId) => this.api.latest(threadId),
      waiting: (threadId) => this.outbox.waiting(threadId).map(queuedEvent), onRelease: (threadId) => this.acks.forget(threadId),
      onChange: (threadId, state, events) => this.#emit("change", { threadId, agent: this.currentThreads.agentOf(threadId), state, events }),
      onFault: (fault) => this._notice(fault),
    });
    if (paged) this._openByPages(readsAbove);
    this.tabs = new Tabs({ outbox: this.outbox, timeouts: this.lateTimeouts, show: (events) => this._show(events), pump: () => this.delivery.pump() });
    this.#count();
  }

  /**
   * Calls `listener` at each event of that name; the function that comes back takes it away again.
   *
   * `change` {threadId, agent, state, events} · `state` (a State) · `welcome` · `foreign` (an event of a thread that is
   * not followed here) · `alert` and `notice` {code, message, error_id, thread_id} · `typing` · `user` (another one than
   * before) · `expiring` (the session has run out, and `over` follows) · `over` {url} (the session has ended, and all that was kept of it is gone; `url` is where an identity provider signs
   * the user out too, or null) · `events` (a list: the wire's, and `local.…` ones about this client's own doings).
   * @param {string} name
   * @param {(value: any) => void} listener
   * @returns {() => void}
   */
  on(name, listener) {
    return this.listeners.on(name, listener);
  }

  /** Connects, and from now on stays connected. */
  start() {
    this.onPageHide ??= () => this.threads.persist();
    this.window?.addEventListener("pagehide", this.onPageHide);
    const started = this.connection.start();
    this.threads.pages?.readAll();
    return started;
  }

  stop() {
    this.threads.persist();
    this.lateTimeouts.clearAll();
    this.window?.removeEventListener("pagehide", this.onPageHide);
    this.connection.stop();
  }

  /** Probes the connection, or reconnects at once. */
  probe() {
    this.connection.probe();
  }

  /**
   * Comes as another user from now on. Rejects with an `ApiError` if the server refuses the token or cannot be reached;
   * nothing changes then.
   * @param {string} token
   */
  async signIn(token) {
    await this.api.me(token);
    this.session.adopt(token);
    return this.connection.start();
  }

  /**
   * Ends the session on the server, and forgets all that is stored here of its user. Rejects with an `ApiError` if the
   * server cannot end it now; `anyway` forgets nevertheless. `everywhere`: all sessions of the user end.
   * @param {{anyway?: boolean, everywhere?: boolean}} [options]
   */
  async signOut({ anyway = false, everywhere = false } = {}) {
    try {
      this.leadsTo = await this.api.endSession({ everywhere });
    } catch (fault) {
      if (!anyway && fault.status !== 401) throw fault; // 401: it has ended already
    }
    this.connection.stop();
    this.session.end();
  }

  // Threads

  /**
   * Opens a thread and follows it; its state is there at once as far as it is known.
   * @param {string} threadId
   * @param {{fresh?: boolean}} [options] `fresh`: one the server cannot know yet
   */
  open(threadId, { fresh = false } = {}) {
    if (fresh) this.freshThreads.add(threadId);
    const state = this.threads.open(threadId, { fresh });
    if (this.connection.online) this.threads.readRatings();
    if (!this.connection.stopped) this.threads.pages?.readAll();
    return state;
  }

  /** The state of a thread that is held, or null. @param {string} threadId */
  state(threadId) {
    return this.threads.state(threadId);
  }

  /**
   * The server has said that there is no such thread of this user. True if there was one as far as is known here: then
   * all that was kept of it is forgotten. False for a thread that is still to be sent to the server.
   * @param {string} threadId
   */
  isGone(threadId) {
    if (this.threads.state(threadId) === null || !isOnServer(this, threadId)) return false;
    this.forget(threadId);
    this.threads.open(threadId, { fresh: true });
    return true;
  }

  /** Lets go of a thread and of what was kept of it. @param {string} threadId */
  forget(threadId) {
    this.threads.forget(threadId);
    this.currentThreads.leave(threadId);
  }

  /**
   * Speaks to another agent from now on, over the same connection. Its own thread is opened: the one it had here, or
   * the latest the server knows, or a new one.
   * @param {string} agentType
   * @param {string|null} [pillar]
   * @returns {Promise<object>} the state of that thread
   */
  async switchAgent(agentType, pillar = null) {
    const agent = agentKey(agentType, pillar);
    const asked = this.switching = Symbol(agent);
    let threadId = this.currentThreads.thread(agent);
    if (threadId === null) threadId = await this.api.latestThread(agentType, pillar).catch(() => null);
    const held = this.currentThreads.thread(agent) ?? threadId;
    const state = this.open(held ?? randomId(), { fresh: held === null });
    if (this.switching === asked) this.currentThreads.enter(agent, state.threadId);
    return state;
  }

  /** The state of an agent's current thread (of the current agent's unless named), or null. */
  history(agentType = null, pillar = null) {
    const threadId = this.currentThreads.thread(agentType ? agentKey(agentType, pillar) : this.currentThreads.current);
    return threadId && (this.threads.state(threadId) ?? this.open(threadId));
  }

  // Commands

  /**
   * Sends a message now or as soon as there is a connection; it is shown at once.
   * @param {string|Say} said
   * @returns {string} its message_id
   */
  say(said) {
    const given = typeof said === "string" ? { content: said } : said;
    const agent = given.agent_type ? agentKey(given.agent_type, given.pillar) : this.currentThreads.current ?? DEFAULT_AGENT;
    const known = given.thread_id ? null : this.currentThreads.thread(agent);
    const threadId = given.thread_id ?? known ?? randomId();
    if (!this.subscriptions.has(threadId)) this.open(threadId, { fresh: known === null });
    if (!given.thread_id) this.currentThreads.enter(agent, threadId, { stay: this.currentThreads.current !== null });
    return this._queue(messageCommand(given, { agentName: agent, state: this.threads.state(threadId), id: randomId(), threadId }));
  }

  /** Tells the user's other connections that they are typing, every three seconds at most. @param {string} threadId */
  typing(threadId) {
    if (this.timeouts.has("typing") || !this.connection.online || !this.subscriptions.has(threadId)) return;
    this.connection.send({ type: "typing", payload: { thread_id: threadId } });
    this.timeouts.set("typing", TYPING_MS, () => {});
  }

  /** Records that everything up to `seq` is on the screen; acknowledged at most once a second. @param {string} threadId @param {number} seq */
  ack(threadId, seq) {
    this.acks.shown(threadId, Math.min(seq, this.subscriptions.carried(threadId)));
  }

  /** Withdraws a message that is still queued, or was refused. @param {string} key of the turn: the message_id, or what `edit` gave */
  withdraw(key) {
    const entry = this.outbox.remove(key) ?? { thread_id: this.threads.find(key)?.state.threadId };
    if (entry.thread_id) this._show([local("withdrawn", entry, { key })]);
    this.#count();
  }

  /** Queues a command, shows it, and sends it as soon as that can be. */
  _queue(order) {
    const { user = null, anonymous = true } = this.session.stored ?? {};
    const entry = this.outbox.add(order, this.now(), anonymous ? null : user);
    this._show([queuedEvent(entry)]);
    this.delivery.pump();
    this.#count();
    return entry.message_id;
  }

  #opened(awayMs) {
    if (awayMs > AWAY_MS) this.threads.reread();
    this.subscriptions.opened();
    this.threads.pages?.readAll();
  }

  #arrived(events) {
    this.threads.pages?.note(events);
    this._show(events);
  }

  /** Applies an event to this client; returns the event to show, or null. */
  #handle(event, data, fresh) {
    if (event.type === "message_accepted") this.#accepted(event, data);
    if (event.type === "approval_decided" || event.type === "tool_completed") this.reliable.done(`call ${data.call_id}`);
    this.steering.settle(event, data);
    if (event.type === "feedback") this.reliable.done(`answer ${data.message_id}`);
    if (!fresh) return null;
    if (this.connection.take(event, data)) return null;
    switch (event.type) {
      case "welcome":
        return this.#welcomed(event, data);
      case "drain": case "ping": case "pong":
        return null;
      case "alert":
        return data.summarised ? null : this.#emit("alert", { code: "alert", message: data.message || event.message, error_id: null, thread_id: data.kinds ? event.thread_id : null });
      case "typing":
        return this.#emit("typing", event);
      default:
        return isRefusal(event) ? this.#refused(event, data) : event;
    }
  }

  #welcomed(event, data) {
    const before = this.storage.getItem(USER);
    this.outbox.user = data.user ?? null;
    if (data.user) this.storage.setItem(USER, data.user);
    if (before && data.user && before !== data.user) {
      this.threads.clear();
      this.currentThreads.clear();
      this.#emit("user", { user: data.user, before });
    }
    this.#count();
    this.#emit("welcome", event);
    this.reliable.resend();
    this.delivery.pump();
    this.threads.readRatings();
    return null;
  }

  /** A fault outside a run: about a message of ours, or about nothing we can point at. */
  #refused(event, data) {
    const continuing = this._continueRefused(event, data);
    const steer = this.steering.refused(event, data);
    if (steer && !data.retryable) return null;
    const shown = this.delivery.refused(event, data);
    if (shown?.type === "local.rejected") this.cancelOnAccept.delete(shown.data.key);
    this.#count();
    if (!shown && data.retryable && (!event.message_id || steer || continuing)) this.timeouts.set("again", Math.max(data.retry_after ?? 0, AGAIN_S) * 1000, () => this.#askAgain());
    return shown ?? this.#emit("notice", {
      code: data.code, message: errorText({ code: data.code, message: data.message || event.message }), error_id: data.error_id ?? null, thread_id: event.thread_id ?? null,
    });
  }

  #accepted(event, data) {
    if (data.continues) this.reliable.done(`continue ${data.continues}`);
    const entry = this.delivery.accepted(event, data);
    // Sent twice: the first may have arrived on a connection whose later events we never saw.
    this.freshThreads.remove(event.thread_id);
    this.subscriptions.exists(event.thread_id, { doubtful: entry?.attempts > 1 });
    if (this.cancelOnAccept.delete(entry?.message_id ?? data.message_id)) this.cancel({ runId: data.run_id ?? event.run_id });
    if (entry) this.#count();
  }

  /** Something of ours that has no name was refused for now: whatever must be known or taken is asked for again. */
  #askAgain() {
    this.subscriptions.resumeAll();
    this.reliable.resend();
  }

  /** Shows events, the wire's or this client's own. @param {object[]} events */
  _show(events) {
    this.#emit("events", events);
    this.threads.apply(events);
  }

  /** Tells of an error that belongs to no message. */
  _notice({ code = "internal", message, errorId = null }, threadId = null) {
    return this.#emit("notice", { code, message, error_id: errorId, thread_id: threadId });
  }

  #count() {
    const next = { ...this.connection.status, waiting: this.outbox.size };
    if (Object.keys(next).every((name) => next[name] === this.current?.[name])) return;
    this.current = next;
    this.#emit("state", next);
  }

  #emit(name, value = null) {
    this.listeners.emit(name, value);
    return null;
  }
}
