/** Alerts of the server to all users, above everything until dismissed. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "../client/messages.js";

const MAX_SHOWN = 3;

export class Alerts {
  constructor() {
    this.element = el("div.alerts", { role: "alert" });
  }

  /** Shows a sentence; the same one only once. One about a chat goes when another chat is opened. */
  show(sentence, threadId = null) {
    for (const shown of this.element.children) if (shown.dataset.sentence === sentence) shown.remove();
    const alert = el("div.alert", { "data-sentence": sentence, "data-thread": threadId }, icon("warning"), el("p", { dir: "auto" }, sentence),
      el("button.quiet.icon-button", { type: "button", "aria-label": t("action.dismiss"), title: t("action.dismiss"), onclick: () => alert.remove() }, icon("close")));
    this.element.append(alert);
    while (this.element.childElementCount > MAX_SHOWN) this.element.firstElementChild.remove();
  }

  /** Takes away what is about another chat. */
  opened(threadId) {
    for (const alert of [...this.element.children]) if (![undefined, threadId].includes(alert.dataset.thread)) alert.remove();
  }
}
