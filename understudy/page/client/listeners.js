/**
 * Listeners by the name of what they listen to.
 *
 * Events that a listener causes are queued behind the current one, so every listener gets all in the same order and
 * none is called while it runs. A listener that throws does not stop the others; its error goes to the console.
 */
export class Listeners {
  constructor() {
    this.byName = new Map();
    this.queue = []; // [name, value] not yet delivered, in order
    this.emitting = false;
  }

  /** Calls `listener` at each event of that name; the function that comes back takes it away again. */
  on(name, listener) {
    if (!this.byName.has(name)) this.byName.set(name, new Set());
    this.byName.get(name).add(listener);
    return () => this.byName.get(name).delete(listener);
  }

  emit(name, value) {
    this.queue.push([name, value]);
    if (this.emitting) return;
    this.emitting = true;
    while (this.queue.length > 0) this.#call(...this.queue.shift());
    this.emitting = false;
  }

  #call(name, value) {
    for (const listener of this.byName.get(name) ?? []) {
      try {
        listener(value);
      } catch (fault) {
        queueMicrotask(() => { throw fault; }); // uncaught, as the error of any event listener is
      }
    }
  }
}
