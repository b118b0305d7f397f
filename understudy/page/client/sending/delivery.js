/**
 * Getting messages accepted: one in flight at a time, in the order they were said, until the server has answered.
 *
 * So messages are accepted in order. A refusal names its message, except where the server could not read so far: then
 * it is about the one in flight. A message that is held back holds its thread's later ones, no others.
 */

import { randomId } from "../ids.js";
import { nextParent } from "../threads/branches.js";
import { OTHERS_MS } from "./outbox.js";

const RESEND_MS = 3_000; // before a message is tried again when the server does not say when
const UNANSWERED_MS = 20_000; // a message neither accepted nor refused for so long is sent again, under its own id
// Codes of refusals without a message's id: a frame that is no message, and a failure of the server while it read one.
const NAMELESS = new Set([
  "bad_json", "invalid_command", "unknown_type", "empty_message", "message_too_large", "pillar_required", "internal",
]);

/** An event about this client's own message. */
export function local(what, { thread_id: threadId }, data) {
  return { type: `local.${what}`, thread_id: threadId, data };
}

/** Whether an event answers a command of this connection that was refused: a fault outside a run. */
export function isRefusal({ type, run_id: runId }) {
  return type === "error" && !runId;
}

export class Delivery {
  /** `timeouts` are timers by purpose; `send(command)` is true when it left; `show(events)` shows local events. */
  constructor({ outbox, timeouts, send, show }) {
    this.outbox = outbox;
    this.timeouts = timeouts;
    this.send = send;
    this.show = show;
    this.inFlight = null;
  }

  /** Sends the next message if none is in flight. */
  pump() {
    if (this.inFlight) return;
    const held = new Set();
    const next = this.outbox.waiting().find((entry) => {
      if (this.timeouts.has(entry.message_id) || !this.outbox.sendable(entry)) held.add(entry.thread_id);
      return !held.has(entry.thread_id);
    });
    if (!next || !this.send({ type: next.type, payload: next.payload })) return;
    this.inFlight = next.message_id;
    this.outbox.attempted(next.message_id);
    this.#retryAfter(next, UNANSWERED_MS);
    this.show([local("sent", next, { key: next.message_id })]);
  }

  /** The connection is gone: the message in flight is queued again. */
  interrupted() {
    this.timeouts.clearAll();
    const entry = this.outbox.get(this.inFlight);
    this.inFlight = null;
    if (entry) this.show([local("waiting", entry, { key: entry.message_id })]);
  }

  /** The server has the message. Returns its entry when it was ours, else null. */
  accepted(event, data) {
    const messageId = this.#sentId(event, data);
    if (this.inFlight === messageId) this.inFlight = null;
    this.timeouts.clear(messageId);
    queueMicrotask(() => this.pump());
    return this.outbox.remove(messageId);
  }

  /** Under which name we have sent what was accepted: a message answered once more bears the name of the message. */
  #sentId(event, data) {
    if (data.branch_of !== data.message_id) return data.message_id;
    const entry = this.outbox.get(this.inFlight);
    const ours = !data.continues && entry?.type === "regenerate" && entry.payload.message_id === data.message_id && event.seq > entry.after;
    return ours ? entry.message_id : null;
  }

  /** A refusal. Returns the local event to show, or null when it is about no message of ours. */
  refused(event, data) {
    const entry = this.#refusedEntry(event, data);
    if (!entry) return null;
    const about = { ...data, key: entry.message_id };
    if (this.inFlight === entry.message_id) this.inFlight = null;
    queueMicrotask(() => this.pump());
    if (data.retryable) {
      this.#retryAfter(entry, data.retry_after ? data.retry_after * 1000 : RESEND_MS * Math.max(entry.attempts, 1));
      return local("waiting", entry, about);
    }
    this.outbox.remove(entry.message_id);
    this.timeouts.clear(entry.message_id);
    return local("rejected", entry, about);
  }

  /** The message a fault is about: the one it names, else, where a message may go unnamed, the one in flight. */
  #refusedEntry(event, data) {
    if (event.message_id) return this.outbox.get(event.message_id);
    if (event.thread_id) return null; // it was read so far that a message would have been named
    return NAMELESS.has(data.code) ? this.outbox.get(this.inFlight) : null;
  }

  #retryAfter(entry, ms) {
    this.timeouts.set(entry.message_id, ms, () => {
      if (this.inFlight === entry.message_id) this.inFlight = null;
      this.pump();
    });
  }
}

// Commands of a user on a thread, as entries of the outbox, and as the local events that show them at once.

/** A new message. `agentName` is the current agent's, `state` the thread's or null. */
export function messageCommand(given, { agentName, state, id, threadId }) {
  const [agentType, pillar = null] = agentName?.split("/") ?? [];
  const agent = given.agent_type || !agentType ? {} : { agent_type: agentType, pillar };
  const parent = given.parent_id ?? (state ? nextParent(state) : null);
  const payload = { ...agent, ...given, thread_id: threadId, message_id: given.message_id ?? id, ...(parent && { parent_id: parent }) };
  return { type: "user_message", message_id: payload.message_id, thread_id: threadId, payload };
}

/** A message in other words. */
export function editCommand({ state, turn }, content, id) {
  const payload = { message_id: turn.messageId, content, new_message_id: id };
  return { type: "edit", message_id: id, thread_id: state.threadId, payload };
}

/**
 * A message answered once more; `after` is the thread's last seq, which separates it from earlier regenerations. With
 * `callId` the answer begins with the work before that call, which is made again.
 */
export function regenerateCommand({ state, turn }, id, after, callId = null) {
  const payload = { message_id: turn.messageId, request_id: id, ...(callId && { call_id: callId }) };
  return { type: "regenerate", message_id: id, thread_id: state.threadId, payload, after };
}

/** The local event that shows a queued command. */
export function queuedEvent({ type, message_id: key, thread_id: threadId, payload, at }) {
  const kind = type === "user_message" ? "say" : type;
  return local("said", { thread_id: threadId }, { ...payload, key, kind, of: kind === "say" ? null : payload.message_id, at });
}

// Small commands that must arrive: sent again on each new connection until an event shows that the server accepted them.
//
// Each sets one value (a call's approval, an answer's thumbs), so a later one replaces an earlier one, and sending one
// twice does no harm.

const MAX_COMMANDS = 64;
const MAX_TRIES = 5; // connections; beyond these the command is dropped, as the server does not know its subject

export class ReliableCommands {
  /** `send(command)` is true when it left. */
  constructor(send) {
    this.send = send;
    this.open = new Map(); // about what -> {command, tries}
  }

  /** Sends a command now, and again on later connections until `done(about)`. One that is under way is not sent twice. */
  add(about, command) {
    if (JSON.stringify(this.open.get(about)?.command) === JSON.stringify(command)) return;
    this.open.delete(about);
    this.open.set(about, { command, tries: 0 });
    if (this.open.size > MAX_COMMANDS) this.open.delete(this.open.keys().next().value);
    this.#try(about);
  }

  done(about) {
    this.open.delete(about);
  }

  /** Sends all open commands again, on a new connection. */
  resend() {
    for (const about of [...this.open.keys()]) this.#try(about);
  }

  #try(about) {
    const entry = this.open.get(about);
    if (!this.send(entry.command)) return;
    entry.tries += 1;
    if (entry.tries >= MAX_TRIES) this.open.delete(about);
  }
}

// Messages queued by other tabs are shown here too, and adopted when their tab is gone.

const GONE_MS = 5_000; // an acceptance that another tab has seen is here by then

export class Tabs {
  /** `timeouts` are timers by purpose; `show(events)` shows; `pump()` sends what may be sent. */
  constructor({ outbox, timeouts, show, pump }) {
    this.timeouts = timeouts;
    this.show = show;
    this.pump = pump;
    outbox.onChange = (change) => this.#changed(change);
  }

  #changed({ entry, fresh = false, gone = false }) {
    if (!entry) return;
    const { message_id: key } = entry;
    if (fresh) this.show([queuedEvent(entry)]);
    if (gone) this.timeouts.set(`tab ${key}`, GONE_MS, () => this.show([local("withdrawn", entry, { key })]));
    else this.timeouts.set(`tab ${key}`, OTHERS_MS, () => this.pump());
  }
}

// Messages to a run at work: sent until the server has accepted or refused them. What comes too late is said instead.

export class Steering {
  /** `client` holds threads and reliable commands, shows local events, and says what comes too late. */
  constructor(client) {
    this.client = client;
  }

  /** Returns the steer's id; null when the run is not held here. */
  steer(runId, content, mode) {
    const found = this.client.threads.find(runId);
    if (!found) return null;
    const data = { steer_id: randomId(), content, mode };
    this.#local("steering", found.state.threadId, runId, data);
    this.client.reliable.add(`steer ${data.steer_id}`, { type: "steer", payload: { run_id: runId, ...data } });
    return data.steer_id;
  }

  unsteer(runId, steerId) {
    this.client.reliable.add(`unsteer ${steerId}`, { type: "unsteer", payload: { run_id: runId, steer_id: steerId } });
  }

  /** Notes what the server has accepted or done. */
  settle({ type }, { steer_id: steerId }) {
    if (type === "steer_accepted") this.client.reliable.done(`steer ${steerId}`);
    if (type === "steer_taken" || type === "steer_withdrawn") this.client.reliable.done(`unsteer ${steerId}`);
  }

  /** Returns true when nobody need be told of a refusal: its text is said instead, or is sent again. */
  refused({ message_id: steerId }, { code, retryable }) {
    this.client.reliable.done(`unsteer ${steerId}`);
    const payload = this.client.reliable.open.get(`steer ${steerId}`)?.command.payload;
    const found = payload && this.client.threads.find(payload.run_id);
    if (!found || retryable) return Boolean(found);
    const { threadId } = found.state;
    this.client.reliable.done(`steer ${steerId}`);
    this.#local("steering-refused", threadId, payload.run_id, { steer_id: steerId });
    if (code === "run_ended") this.client.say({ content: payload.content, thread_id: threadId, message_id: steerId });
    return code === "run_ended";
  }

  #local(type, threadId, runId, data) {
    this.client._show([{ type: `local.${type}`, thread_id: threadId, run_id: runId, data }]);
  }
}
