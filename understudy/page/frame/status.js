/** The connection's state: always in sight, in words, with a way to act on it. */

import { el, setText } from "../elements/dom.js";
import { t } from "../client/messages.js";
import { icon } from "../elements/icons.js";

export class Status {
  /** `onRetry()` tries to connect at once. */
  constructor(onRetry) {
    this.word = el("span.status-word", {}, t("status.connecting"));
    this.button = el("button.link", { type: "button", hidden: true, onclick: onRetry }, t("status.try_now"));
    this.element = el("div.status", { role: "status" }, el("span.status-dot", { "aria-hidden": "true" }), this.word, this.button);
    this.banner = el("p.banner", { hidden: true, role: "status" });
    this.phase = "connecting";
    this.known = false; // whether there was a session: whose ends is told so, and who comes is only asked to sign in
  }

  /** `state`: the value of the client's event `state`. */
  show({ phase, waiting, reason, draining, signIn = false }) {
    this.phase = phase;
    this.known ||= phase === "online";
    const out = phase === "refused" && signIn && !this.known;
    this.element.dataset.phase = out ? "signed_out" : phase;
    document.body.classList.toggle("offline", phase !== "online");
    setText(this.word, wordFor(out ? "signed_out" : draining && (phase === "offline" || phase === "connecting") ? "restarts" : phase, waiting));
    this.button.hidden = phase === "online" || phase === "connecting";
    setText(this.button, t(out ? "session.sign_in" : phase === "refused" ? "status.reconnect" : "status.try_now"));
    this.banner.hidden = out || !draining && (phase === "online" || (phase === "connecting" && waiting === 0));
    setText(this.banner, draining && phase !== "refused" ? restarting(waiting) : sentence(phase, waiting, reason));
  }
}

function wordFor(phase, count) {
  const word = t(`status.${phase}`);
  if (phase === "online") return count > 1 ? t("status.sending", { count }) : word;
  return count > 0 && phase !== "refused" ? t("status.waiting", { phase: word, count }) : word;
}

function restarting(count) {
  const kept = count > 0 ? ` ${t("status.sent_when_back", { count })}` : "";
  return `${t("status.restarting")}${kept}`;
}

function sentence(phase, waiting, reason) {
  if (phase === "refused") return reason || t("status.closed");
  if (phase === "connecting") return t("status.again");
  const kept = waiting > 0
    ? t("status.sent_when_connected", { count: waiting })
    : t("status.go_on");
  return `${reason || t("status.none")} ${kept}`;
}

// Alerts of the server to all users, above everything until dismissed.

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
