/** What stands in place of a chat that the server does not have, or does not give to this user. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "../client/messages.js";

/** `onCreate()` begins a new chat. */
export function missingChat(onCreate) {
  return el("div.empty.missing", { role: "status" },
    el("h2", {}, t("chat.missing")),
    el("p", {}, t("chat.missing_hint")),
    el("button.primary", { type: "button", onclick: onCreate }, icon("plus"), t("chat.new")));
}
