/** localStorage if it works, else memory for the life of the page (private windows, full disks, Node). */

/** A storage that never raises. `storage` has the shape of `localStorage`, or is null. A full one is still read. */
export function safeStorage(storage) {
  try {
    storage.getItem("understudy.probe");
    return new Guarded(storage);
  } catch {
    return new Guarded(null);
  }
}

/** The browser's own storage, or that of its tab; null where there is none, or where the page may not use it. */
export function browserStorage(name = "localStorage") {
  try {
    return globalThis.document ? globalThis[name] : null;
  } catch {
    return null;
  }
}

class Guarded {
  constructor(storage) {
    this.storage = storage;
    this.memory = new Map(); // what the disk would not take
    this.closed = false;
    this.onFull = () => false; // makes room by giving up what can be read again; true when there is some
  }

  get length() {
    return (this.storage?.length ?? 0) + this.memory.size;
  }

  key(index) {
    const stored = this.storage?.length ?? 0;
    return index < stored ? this.storage.key(index) : [...this.memory.keys()][index - stored] ?? null;
  }

  getItem(key) {
    return this.memory.get(key) ?? this.storage?.getItem(key) ?? null;
  }

  /** Stores nothing until `open()`: the session is over, and what is still being read of its user must not stay. */
  close() {
    this.closed = true;
  }

  open() {
    this.closed = false;
  }

  setItem(key, value) {
    if (this.closed) return;
    this.memory.delete(key);
    do {
      if (this.offer(key, value)) return;
    } while (this.onFull());
    this.memory.set(key, value);
  }

  /** Stores what may be lost, without making room for it; false when the disk would not take it. */
  offer(key, value) {
    if (this.closed) return false;
    if (this.storage === null) this.memory.set(key, value);
    try {
      this.storage?.setItem(key, value);
      return true;
    } catch {
      return false;
    }
  }

  removeItem(key) {
    this.memory.delete(key);
    this.storage?.removeItem(key);
  }

  /** Removes all keys that begin with `prefix`, but those in `kept`. */
  clear(prefix, kept) {
    for (const key of this.keys(prefix)) if (!kept.includes(key)) this.removeItem(key);
  }

  /** All keys that begin with `prefix`. */
  keys(prefix) {
    return Array.from({ length: this.length }, (_, index) => this.key(index)).filter((key) => key?.startsWith(prefix));
  }
}
