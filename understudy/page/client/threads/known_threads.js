/** The threads that this browser knows: the current one of each agent, those begun here, and those deleted on the server. */

import { isPending } from "./turns.js";

// The current thread of each agent, kept across reloads.

const KEY = "understudy.rooms";
const MAX_AGENTS = 64;

/** The key of an agent: "guide", "liaison/insights". */
export function agentKey(agentType, pillar = null) {
  return pillar ? `${agentType}/${pillar}` : agentType;
}

export class CurrentThreads {
  /** `storage` has the shape of `localStorage`. */
  constructor(storage) {
    this.storage = storage;
    this.current = null; // the key of the agent that gets the next message
    const kept = parse(storage.getItem(KEY));
    this.threads = new Map(Object.entries(kept.threads ?? {}).filter(([, threadId]) => typeof threadId === "string"));
    if (this.threads.has(kept.current)) this.current = kept.current;
  }

  /** The thread of an agent, or null. */
  thread(agent = this.current) {
    return this.threads.get(agent) ?? null;
  }

  /** The key of the agent whose current thread this is, or null. */
  agentOf(threadId) {
    for (const [agent, thread] of this.threads) if (thread === threadId) return agent;
    return null;
  }

  /** Makes `threadId` the current thread of an agent, and this agent the current one unless `stay` is true. */
  enter(agent, threadId, { stay = false } = {}) {
    this.threads.delete(agent); // so that it becomes the last one used
    this.threads.set(agent, threadId);
    while (this.threads.size > MAX_AGENTS) this.threads.delete(this.threads.keys().next().value);
    if (!stay) this.current = agent;
    this.#keep();
  }

  /** Forgets a thread that is gone. */
  leave(threadId) {
    for (const [agent, thread] of this.threads) if (thread === threadId) this.threads.delete(agent);
    this.#keep();
  }

  clear() {
    this.threads.clear();
    this.current = null;
    this.storage.removeItem(KEY);
  }

  #keep() {
    this.storage.setItem(KEY, JSON.stringify({ current: this.current, threads: Object.fromEntries(this.threads) }));
  }
}

function parse(text) {
  try {
    return JSON.parse(text ?? "null") ?? {};
  } catch {
    return {};
  }
}

// The chats that this browser has begun and the server cannot know yet, kept across reloads.

const FRESH = "understudy.fresh";
const MOST_FRESH = 16; // the oldest go first: each was left empty

export class FreshThreads {
  /** `storage` has the shape of `localStorage`. */
  constructor(storage) {
    this.storage = storage;
  }

  has(threadId) {
    return this.#ids().includes(threadId);
  }

  add(threadId) {
    if (!this.has(threadId)) this.#keep([...this.#ids(), threadId].slice(-MOST_FRESH));
  }

  /** The server knows the thread from now on. */
  remove(threadId) {
    const ids = this.#ids();
    if (ids.includes(threadId)) this.#keep(ids.filter((id) => id !== threadId));
  }

  #ids() {
    try {
      const ids = JSON.parse(this.storage.getItem(FRESH) ?? "[]");
      return Array.isArray(ids) ? ids : [];
    } catch {
      return [];
    }
  }

  #keep(ids) {
    this.storage.setItem(FRESH, JSON.stringify(ids));
  }
}

// Threads of which something is kept here although the server does not have them any more.

/** Whether the server has had a thread, as far as `client` knows, and nothing of it is still to be sent. */
export function isOnServer({ threads, freshThreads, outbox }, threadId) {
  return !freshThreads.has(threadId) && !threads.state(threadId)?.turns.some(isPending) && outbox.waiting(threadId).length === 0;
}

/**
 * The ids of the threads that were deleted while `client` was away. Those of the list of chats, `listed`, are not asked
 * for: only the few that are older, archived or gone. None when the server cannot say; the next connection asks again.
 */
export async function goneThreads(client, listed) {
  const there = new Set(listed.map(({ id }) => id));
  const gone = [];
  for (const threadId of client.threads.known) {
    if (there.has(threadId) || !isOnServer(client, threadId)) continue;
    try {
      await client.api.thread(threadId);
    } catch (fault) {
      if (fault.status !== 404) return [];
      if (isOnServer(client, threadId)) gone.push(threadId); // else it was begun anew meanwhile
    }
  }
  return gone;
}
