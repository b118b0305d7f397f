/** localStorage where it works, else memory for as long as the page lives (private windows, full disks). */

export function keep(storage) {
  try {
    storage.setItem("understudy.probe", "1");
    storage.removeItem("understudy.probe");
    return new Guarded(storage);
  } catch {
    return new Guarded(null);
  }
}

class Guarded {
  constructor(storage) {
    this.storage = storage;
    this.memory = new Map(); // what the disk would not take
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

  setItem(key, value) {
    try {
      this.storage.setItem(key, value);
      this.memory.delete(key);
    } catch {
      this.memory.set(key, value);
    }
  }

  removeItem(key) {
    this.memory.delete(key);
    this.storage?.removeItem(key);
  }
}
