/** The messages to a run at work: what waits until the agent reads it, with a button to take it back, and what it has read. */

import { arrange, el } from "./dom.js";
import { t } from "../client/messages.js";

const WAITS = Object.freeze({ next: "steer.waits_next", now: "steer.waits_now" });

export class SteersView {
  /** `page` has `onUnsteer(runId, steerId)`. */
  constructor(page) {
    this.page = page;
    this.rows = new Map(); // id -> {steer, live, element}
    this.element = el("div.steers");
  }

  update({ steers }, live) {
    arrange(this.element, steers.map((steer) => {
      const known = this.rows.get(steer.id);
      if (known?.steer === steer && known.live === live) return known.element;
      const element = this.#row(steer, live);
      this.rows.set(steer.id, { steer, live, element });
      return element;
    }));
  }

  #row({ id, runId, content, mode, state, by }, live) {
    const waits = live && state !== "taken";
    const back = waits && !by && state === "waiting" && mode === "next" && el("button.link", {
      type: "button", onclick: () => this.page.onUnsteer(runId, id),
    }, t("action.take_back"));
    const note = t(state === "sending" ? "steer.sending" : WAITS[mode] ?? "steer.waits");
    return el("div.steer", { "data-state": state },
      el(waits ? "div.bubble.is-waiting" : "div.bubble", { dir: "auto" }, content),
      el("p.steer-note", { role: "status" }, by ? t("steer.of_operator") : waits ? note : t("steer.read"), back && " · ", back));
  }
}
