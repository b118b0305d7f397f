/** "Always allow": a box in the question whether a tool may be used, and a way back from the remembered decision. */

import { learn, parts, t } from "../../client/messages.js";
import { el, freshId, setText } from "../../elements/dom.js";
import { MESSAGES } from "./messages/always.js";

/** The elements of the offer to allow a tool always in a chat: a check box, and what it is for. */
export function offer(tool) {
  learn(MESSAGES);
  const id = freshId("always");
  return [el("input", { id, type: "checkbox" }), el("label.approval-label", { for: id }, parts("approval.always", { tool: el("code", {}, tool) }))];
}

/** The elements that say that a tool was allowed always, and take that back. `page` is {api, threadId()}. */
export function takeBack(tool, { api, threadId }) {
  learn(MESSAGES);
  const said = el("span.approval-said", { role: "status" });
  const button = el("button.link", { type: "button", onclick: async () => {
    button.disabled = true;
    const path = `/api/threads/${encodeURIComponent(threadId())}/consents/${encodeURIComponent(tool)}`;
    setText(said, await api.ask("DELETE", path).then(
      () => t("approval.asks_again"), (fault) => (fault.code === "not_found" ? t("approval.asks_already") : fault.message)));
    button.disabled = false;
  } }, t("approval.ask_again"));
  return [el("span.approval-said", {}, t("approval.said_always")), " ", button, said];
}
