/** An error as a sentence, with Try again, and the error_id for the operator. */

import { copyButton } from "./copy.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";

/** `error` is {message, errorId, retryable, code}; `onRetry` sends the message again. */
export function errorCard(error, onRetry) {
  return el("div.fault", { role: "alert" },
    icon("warning"),
    el("div.fault-body", {},
      el("p", {}, error.message),
      el("div.fault-actions", {},
        el("button.secondary", { type: "button", onclick: onRetry }, icon("retry"), error.retryable ? "Try again" : "Send again"),
        error.errorId && el("span.fault-id", {}, el("span", {}, "Error id "), el("code", {}, error.errorId), copyButton(() => error.errorId, "Copy error id")))));
}
