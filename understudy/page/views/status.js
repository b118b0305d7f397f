/** The connection's state: always in sight, in words, with a way to act on it. */

import { el, setText } from "./dom.js";
import { count } from "../client/format.js";

export class Status {
  /** `onRetry()` tries to connect at once. */
  constructor(onRetry) {
    this.word = el("span.status-word", {}, "Connecting");
    this.button = el("button.link", { type: "button", hidden: true, onclick: onRetry }, "Try now");
    this.element = el("div.status", { role: "status" }, el("span.status-dot", { "aria-hidden": "true" }), this.word, this.button);
    this.banner = el("p.banner", { hidden: true, role: "status" });
    this.phase = "connecting";
  }

  /** `state`: the value of the client's event `state`. */
  show({ phase, waiting, reason, draining }) {
    const wait = waiting > 0 ? `: ${waiting} waiting` : "";
    this.phase = phase;
    this.element.dataset.phase = phase;
    setText(this.word, { online: waiting > 1 ? `Sending ${waiting}` : "Online", connecting: `Connecting${wait}`, offline: `Offline${wait}`, refused: "Not connected" }[phase]);
    this.button.hidden = phase === "online" || phase === "connecting";
    setText(this.button, phase === "refused" ? "Reconnect" : "Try now");
    this.banner.hidden = !draining && (phase === "online" || (phase === "connecting" && waiting === 0));
    setText(this.banner, draining && phase !== "refused" ? restarting(waiting) : sentence(phase, waiting, reason));
  }
}

function restarting(waiting) {
  const kept = waiting > 0 ? ` ${count(waiting, "message")} will be sent when it is back.` : "";
  return `The server restarts; you can go on writing.${kept}`;
}

function sentence(phase, waiting, reason) {
  if (phase === "refused") return reason || "The server closed the connection.";
  if (phase === "connecting") return "Connecting again.";
  const kept = waiting > 0
    ? `${count(waiting, "message")} will be sent as soon as the connection is back.`
    : "You can go on writing; messages are kept and sent when the connection is back.";
  return `${reason || "There is no connection."} ${kept}`;
}
