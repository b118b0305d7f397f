/** Adds the way to the observer to the chat page. See `extensions.js`. */

import { ROOT } from "../../client/address.js";
import { learn, t } from "../../client/messages.js";
import { hasOne, OPERATORS } from "../../client/connection/session.js";
import { MESSAGES } from "./messages/page.js";

export function extend(page) {
  learn(MESSAGES);
  page.add("accountActs", ({ roles = [] }) => (hasOne(roles, OPERATORS) ? { label: t("account.observer"), icon: "search", act: () => location.assign(`${ROOT}/observer`) } : null));
}
