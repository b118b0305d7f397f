/** The current thread of each agent, kept across reloads. */

const KEY = "understudy.rooms";
const MAX_ROOMS = 64;

/** The name of an agent's room: "guide", "liaison/insights". */
export function roomOf(agentType, pillar = null) {
  return pillar ? `${agentType}/${pillar}` : agentType;
}

export class CurrentThreads {
  /** `storage` has the shape of `localStorage`. */
  constructor(storage) {
    this.storage = storage;
    this.current = null; // the room of the agent that is spoken to now
    const kept = parse(storage.getItem(KEY));
    this.threads = new Map(Object.entries(kept.threads ?? {}).filter(([, threadId]) => typeof threadId === "string"));
    if (this.threads.has(kept.current)) this.current = kept.current;
  }

  /** The thread of an agent's room, or null. */
  thread(room = this.current) {
    return this.threads.get(room) ?? null;
  }

  /** The room in which a thread is the current one, or null. */
  roomWith(threadId) {
    for (const [room, thread] of this.threads) if (thread === threadId) return room;
    return null;
  }

  /** Makes `threadId` the current thread of a room, and the room the current one, unless one is to `stay` where one is. */
  enter(room, threadId, { stay = false } = {}) {
    this.threads.delete(room); // so that it becomes the last one used
    this.threads.set(room, threadId);
    while (this.threads.size > MAX_ROOMS) this.threads.delete(this.threads.keys().next().value);
    if (!stay) this.current = room;
    this.#keep();
  }

  /** Forgets a thread that is gone. */
  leave(threadId) {
    for (const [room, thread] of this.threads) if (thread === threadId) this.threads.delete(room);
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
