/**
 * Small commands that must arrive: said again on each new connection until the server shows that it took them.
 *
 * They are the last word about one thing each (a call's approval, an answer's thumbs), so a later one replaces an
 * earlier one, and saying one twice does no harm.
 */

const MAX_ERRANDS = 64;
const MAX_TRIES = 5; // on so many connections; the server knows nothing of what this is about

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
    if (this.open.size > MAX_ERRANDS) this.open.delete(this.open.keys().next().value);
    this.#try(about);
  }

  done(about) {
    this.open.delete(about);
  }

  /** There is a new connection. */
  again() {
    for (const about of [...this.open.keys()]) this.#try(about);
  }

  #try(about) {
    const errand = this.open.get(about);
    if (!this.send(errand.command)) return;
    errand.tries += 1;
    if (errand.tries >= MAX_TRIES) this.open.delete(about);
  }
}
