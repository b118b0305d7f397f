/** The current thread of each agent, kept across reloads. */

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
