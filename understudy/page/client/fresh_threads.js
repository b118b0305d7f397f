/** The chats that this browser has begun and the server cannot know yet, kept across reloads. */

const KEY = "understudy.fresh";
const MOST = 16; // the oldest go first: each was left empty

export class FreshThreads {
  /** `storage` has the shape of `localStorage`. */
  constructor(storage) {
    this.storage = storage;
  }

  has(threadId) {
    return this.#ids().includes(threadId);
  }

  add(threadId) {
    if (!this.has(threadId)) this.#keep([...this.#ids(), threadId].slice(-MOST));
  }

  /** The server knows the thread from now on. */
  remove(threadId) {
    const ids = this.#ids();
    if (ids.includes(threadId)) this.#keep(ids.filter((id) => id !== threadId));
  }

  #ids() {
    try {
      const ids = JSON.parse(this.storage.getItem(KEY) ?? "[]");
      return Array.isArray(ids) ? ids : [];
    } catch {
      return [];
    }
  }

  #keep(ids) {
    this.storage.setItem(KEY, JSON.stringify(ids));
  }
}
