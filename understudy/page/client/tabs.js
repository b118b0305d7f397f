/** Messages queued by other tabs are shown here too, and adopted when their tab is gone. */

import { local } from "./delivery.js";
import { queuedEvent } from "./outgoing_commands.js";
import { OTHERS_MS } from "./outbox.js";

const GONE_MS = 5_000; // an acceptance that another tab has seen is here by then

export class Tabs {
  /** `timeouts` are timers by purpose; `show(events)` shows; `pump()` sends what may be sent. */
  constructor({ outbox, timeouts, show, pump }) {
    this.timeouts = timeouts;
    this.show = show;
    this.pump = pump;
    outbox.onChange = (change) => this.#changed(change);
  }

  #changed({ entry, fresh = false, gone = false }) {
    if (!entry) return;
    const { message_id: key } = entry;
    if (fresh) this.show([queuedEvent(entry)]);
    if (gone) this.timeouts.set(`tab ${key}`, GONE_MS, () => this.show([local("withdrawn", entry, { key })]));
    else this.timeouts.set(`tab ${key}`, OTHERS_MS, () => this.pump());
  }
}
