/** Notices of this browser: switched on by the user, shown by the page while it is hidden, and by Web Push while it is closed. */

import { ROOT } from "../client/address.js";
import { bytesOf, noticesFor, noticeTexts, sameKey, storedChoice } from "../client/notices.js";
import { t } from "../client/messages.js";
import { el, freshId, setText } from "./dom.js";

const KEY = "understudy.notify";
const TEXTS = Object.freeze({ cache: "notices", path: "/notices.json" }); // as `worker/push.js` reads them

export class Notify {
  /** `open(threadId)` shows a chat; `storage` has the shape of localStorage. */
  constructor({ api, storage, open }) {
    Object.assign(this, { api, storage, open, choice: storedChoice(storage.getItem(KEY)) });
  }

  /** The switches with a heading, for a dialog; null where a page can show no notices. */
  element() {
    const switches = this.switches();
    return switches && el("section.inbox-section.inbox-notify", {}, el("h3", {}, t("notices.title")), switches);
  }

  /** The switches, made anew for each dialog that opens; null where a page can show no notices. */
  switches() {
    if (!globalThis.Notification) return null;
    const [on, answers] = ["on", "answers"].map((name) => el("input", {
      id: freshId("notify"), type: "checkbox", checked: this.choice[name], onchange: ({ target }) => this.#chosen(name, target.checked),
    }));
    this.boxes = { on, answers };
    this.hint = el("p.hint", { role: "status" });
    const field = (box, words) => el("div.field-flag", {}, box, el("label", { for: box.id }, words));
    const element = el("div.notify", {}, field(on, t("notices.on")), field(answers, t("notices.also_answers")), this.hint);
    this.#show();
    return element;
  }

  /** Keeps what the server and the browser know in step with the choice: there is a connection, maybe of another session. */
  async align() {
    const registration = await this.#registration();
    if (!registration?.pushManager) return;
    try {
      if (this.#allowed) await this.#subscribe(registration);
      else await (await registration.pushManager.getSubscription())?.unsubscribe(); // of a session that is over
    } catch {
      // without a push service the page still notifies while it is open
    }
  }

  /** Shows what is new, unless somebody looks at the page. */
  async tell(fresh) {
    if (!this.#allowed || document.visibilityState === "visible") return;
    const texts = noticeTexts();
    const registration = await this.#registration();
    for (const { kind, threadId, title } of noticesFor(fresh, this.choice)) {
      const options = { body: texts[kind], tag: `understudy:${threadId}`, icon: `${ROOT}/page/icon.svg`, data: { thread_id: threadId } };
      if (registration) {
        registration.showNotification(title || t("chat.new"), options).catch(() => {});
        continue;
      }
      const notice = new Notification(title || t("chat.new"), options);
      notice.onclick = () => {
        globalThis.focus();
        notice.close();
        this.open(threadId);
      };
    }
  }

  get #allowed() {
    return this.choice.on && globalThis.Notification?.permission === "granted";
  }

  async #chosen(name, value) {
    if (name === "on" && value && Notification.permission !== "granted") await Notification.requestPermission();
    const granted = Notification.permission === "granted";
    this.choice = { ...this.choice, [name]: value, ...(name === "on" && !granted && { on: false }) };
    this.#keep();
    this.#show();
    const registration = await this.#registration();
    if (!registration?.pushManager) return;
    try {
      if (this.choice.on) await this.#subscribe(registration);
      else await this.#unsubscribe(registration);
    } catch {
      setText(this.hint, this.choice.on ? t("notices.open_only") : "");
    }
  }

  async #subscribe(registration) {
    const { key } = await this.api.webPush();
    if (key === null) return;
    const wanted = bytesOf(key);
    let subscription = await registration.pushManager.getSubscription();
    if (subscription && !sameKey(subscription.options?.applicationServerKey, wanted)) {
      await subscription.unsubscribe(); // the server has another key now
      subscription = null;
    }
    subscription ??= await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: wanted });
    const { endpoint, keys } = subscription.toJSON();
    const { id } = await this.api.notifyBrowser({ endpoint, keys, answers: this.choice.answers });
    this.choice = { ...this.choice, browser: id };
    this.#keep();
    const cache = await caches.open(TEXTS.cache);
    await cache.put(TEXTS.path, new Response(JSON.stringify(noticeTexts())));
  }

  async #unsubscribe(registration) {
    const { browser } = this.choice;
    this.choice = { ...this.choice, browser: null };
    this.#keep();
    await (await registration.pushManager.getSubscription())?.unsubscribe();
    if (browser !== null) await this.api.forgetBrowser(browser);
  }

  async #registration() {
    return (await navigator.serviceWorker?.getRegistration().catch(() => null)) ?? null;
  }

  #keep() {
    this.storage.setItem(KEY, JSON.stringify(this.choice));
  }

  #show() {
    const blocked = Notification.permission === "denied";
    this.boxes.on.checked = this.choice.on && !blocked;
    this.boxes.on.disabled = blocked;
    this.boxes.answers.disabled = !this.boxes.on.checked;
    setText(this.hint, blocked ? t("notices.blocked") : "");
  }
}
