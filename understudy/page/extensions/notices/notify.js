/** Calls the user back while they look elsewhere: notices of the browser, the title, the icon of the tab, the badge of the app. */

import { ROOT } from "../../client/address.js";
import { t } from "../../client/messages.js";
import { el, freshId, setText } from "../../elements/dom.js";

// Notices of this browser: switched on by the user, shown by the open page while nobody looks at it.

const KEY = "understudy.notify";

export class Notify {
  /** `open(threadId)` shows a chat; `storage` has the shape of localStorage. */
  constructor({ storage, open }) {
    Object.assign(this, { storage, open, choice: storedChoice(storage.getItem(KEY)) });
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

  /** Shows what is new, unless somebody looks at the page. */
  async tell(fresh) {
    if (!this.#allowed || document.visibilityState === "visible") return;
    const registration = await this.#registration();
    for (const { kind, threadId, title } of noticesFor(fresh, this.choice)) {
      const options = { body: t(`notices.${kind}`), tag: `understudy:${threadId}`, icon: `${ROOT}/page/icon.svg`, data: { thread_id: threadId } };
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
    this.storage.setItem(KEY, JSON.stringify(this.choice));
    this.#show();
  }

  async #registration() {
    return (await navigator.serviceWorker?.getRegistration().catch(() => null)) ?? null;
  }

  #show() {
    const blocked = Notification.permission === "denied";
    this.boxes.on.checked = this.choice.on && !blocked;
    this.boxes.on.disabled = blocked;
    this.boxes.answers.disabled = !this.boxes.on.checked;
    setText(this.hint, blocked ? t("notices.blocked") : "");
  }
}

// Which news deserve a notice.

/**
 * The notices for what is new: {kind, threadId, title}, one for each chat. `fresh` is what `newItems` gives; `answers`: also
 * for answers that have ended.
 */
export function noticesFor(fresh, { answers }) {
  const found = new Map();
  if (answers) {
    for (const one of fresh.unread) found.set(one.thread_id, { kind: one.status === "success" ? "answered" : "failed", threadId: one.thread_id, title: one.title });
  }
  for (const one of fresh.needsYou) found.set(one.thread_id, { kind: "needs_you", threadId: one.thread_id, title: one.title });
  return [...found.values()];
}

/** {on, answers} as it was stored; off when there is nothing. */
export function storedChoice(text) {
  try {
    const { on = false, answers = false } = JSON.parse(text ?? "null") ?? {};
    return { on: on === true, answers: answers === true };
  } catch {
    return { on: false, answers: false };
  }
}

const ICON = `${ROOT}/page/icon.svg`;
const WAITING_ICON = `${ROOT}/page/icon-waiting.svg`;

export class Attention {
  constructor() {
    this.count = 0;
    this.icon = document.querySelector("link[rel=icon]");
  }

  /** Returns the title of the window, with marks, for this title. */
  title(title) {
    return this.count > 0 ? t("inbox.window_title", { count: this.count, title }) : title;
  }

  /** Shows the number of items that wait for the user. */
  waiting(count) {
    if (count === this.count) return;
    this.count = count;
    const href = count > 0 ? WAITING_ICON : ICON;
    if (this.icon && this.icon.getAttribute("href") !== href) this.icon.setAttribute("href", href);
    const badge = count > 0 ? navigator.setAppBadge?.(count) : navigator.clearAppBadge?.();
    badge?.catch(() => {}); // only installed apps have one
  }
}
