/** The page's service worker: registered once the page is connected, asked for newer versions, and switched on request. */

import { scriptUrl } from "./safe_html.js";
import { t } from "../client/messages.js";

const CHECK_MS = 60_000; // a newer version is looked for at most this often

export class Updates {
  /** `container` is `navigator.serviceWorker`, undefined without one. */
  constructor(toasts, container = navigator.serviceWorker) {
    Object.assign(this, { toasts, container, registration: null, offered: null, checkedAt: -Infinity });
  }

  /** A connected page has its server: one that was away may be a newer one. */
  checkAtWelcome(client) {
    client.on("welcome", () => this.check());
  }

  /** Registers the worker, or looks for a newer one. Without a worker the page works from the server alone. */
  async check() {
    if (!this.container || performance.now() - this.checkedAt < CHECK_MS) return;
    this.checkedAt = performance.now();
    try {
      if (this.registration) await this.registration.update();
      else this.#watch(await this.container.register(scriptUrl("/worker.js"), { updateViaCache: "none" }));
    } catch {
      // not allowed here (a private window, storage switched off), or the connection is gone again
    }
  }

  #watch(registration) {
    this.registration = registration;
    const look = (worker) => worker?.state === "installed" && this.container.controller && this.#offer(worker);
    const follow = (worker) => worker?.addEventListener("statechange", () => look(worker));
    look(registration.waiting);
    follow(registration.installing);
    registration.addEventListener("updatefound", () => follow(registration.installing));
    this.container.addEventListener("controllerchange", () => this.reloading && location.reload());
  }

  #offer(worker) {
    const before = this.offered;
    this.offered = { worker };
    if (before) return;
    this.toasts.offer(t("page.newer"), t("action.reload"), () => {
      this.reloading = true;
      const { worker: waiting } = this.offered;
      if (waiting?.state === "installed") waiting.postMessage("activate");
      else location.reload();
    });
  }
}
