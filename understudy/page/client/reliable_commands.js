/**
 * Small commands that must arrive: sent again on each new connection until an event shows that the server accepted them.
 *
 * Each sets one value (a call's approval, an answer's thumbs), so a later one replaces an earlier one, and sending one
 * twice does no harm.
 */

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
