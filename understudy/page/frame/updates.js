/**
 * The page's service worker: registered once the page is connected, asked for newer versions, and switched on request.
 *
 * The page and each worker know the version of their files, and a tag that is also of the headers sent with them. A worker
 * of the page's own version may wait: the files are the same, and what it keeps is opened already.
 */

import { ROOT } from "../client/address.js";
import { scriptUrl } from "../answer/safe_html.js";
import { t } from "../client/messages.js";

const CHECK_MS = 60_000; // a newer version is looked for at most this often
const ANSWER_MS = 5_000; // a worker of an older release does not answer, and one may wait for the requests of the last

export class Updates {
  /** `container` is `navigator.serviceWorker`, undefined without one. */
  constructor(toasts, container = navigator.serviceWorker) {
    Object.assign(this, { toasts, container, registration: null, offered: null, checkedAt: -Infinity });
    this.tag = document.querySelector("meta[name=page-version]")?.content ?? "";
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
      else this.#watch(await this.container.register(scriptUrl(`${ROOT}/worker.js`), { updateViaCache: "none" }));
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

  async #offer(worker) {
    const { version, tag } = await toldBy(worker);
    if (worker.state === "redundant") return; // another one has taken its place
    this.offered?.withdraw();
    this.offered = null;
    if (tag === this.tag) return;
    const newer = !this.tag.startsWith(`${version}-`);
    const withdraw = this.toasts.offer(t(newer ? "page.newer" : "page.settings_changed"), t("action.reload"), () => {
      this.reloading = true;
      const waits = newer && worker.state === "installed"; // else it works already, is gone, or keeps the same files
      if (waits) worker.postMessage("activate");
      setTimeout(() => location.reload(), waits ? ANSWER_MS : 0);
    });
    this.offered = { withdraw };
  }
}

/** The {version, tag} of a worker; {} if it does not say them. */
function toldBy(worker) {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = ({ data }) => resolve(data);
    setTimeout(() => resolve({}), ANSWER_MS);
    worker.postMessage("version", [port2]);
  });
}

// When the browser has drawn the frame of the page, which comes with its HTML: what takes long begins after that.

const LATEST_MS = 1_000; // for a page that is not drawn although it is visible

/** Resolves when the frame has been drawn, soon in any case. */
export function painted() {
  if (document.visibilityState !== "visible" || performance.getEntriesByName("first-contentful-paint").length > 0) return Promise.resolve();
  return new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve, 0)); // the drawing comes between the two
    setTimeout(resolve, LATEST_MS);
  });
}
