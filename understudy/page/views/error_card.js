/** An error as a sentence, with Try again, and the error_id for the operator. */

import { copyButton } from "./copy.js";
import { errorText, parts, t } from "../client/messages.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";

/** `error` is {message, errorId, retryable, code}; `onRetry` sends the message again; `first` is a better way on, or null. */
export function errorCard(error, onRetry, first = null) {
  return el("div.fault", { role: "alert" },
    icon("warning"),
    el("div.fault-body", {},
      el("p", {}, errorText(error)),
      el("div.fault-actions", {}, first,
        el("button.secondary", { type: "button", onclick: onRetry }, icon("retry"), t(error.retryable ? "action.try_again" : "error.send_again")),
        error.errorId && el("span.fault-id", {}, el("span", {}, parts("error.id", { id: el("code", {}, error.errorId) })), copyButton(() => error.errorId, t("error.copy_id"))))));
}
