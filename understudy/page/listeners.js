/** Who wants to hear of what, by the event's name. */
export class Listeners {
  constructor() {
    this.byName = new Map();
  }

  /** Calls `listener` at each event of that name; the function that comes back takes it away again. */
  on(name, listener) {
    if (!this.byName.has(name)) this.byName.set(name, new Set());
    this.byName.get(name).add(listener);
    return () => this.byName.get(name).delete(listener);
  }

  tell(name, value) {
    for (const listener of this.byName.get(name) ?? []) listener(value);
  }
}
