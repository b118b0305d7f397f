/** Adds accounts to the chat page: the dialogs for passwords and passkeys, in the account menu of users who sign in so. See `extensions.js`. */

import { learn, t } from "../../client/messages.js";
import { MESSAGES } from "./messages/page.js";

const LOCAL = "local-"; // so begin the sessions of users whom the server itself knows

export function extend(page) {
  learn(MESSAGES);
  const use = page.lazy(() => import("./sign_in.js"));
  const offer = (label, icon, act) => page.add("accountActs", ({ session }) => (session?.startsWith(LOCAL) ? { label: t(label), icon, act: () => use(act) } : null));
  offer("account.change_password", "pencil", ({ askNewPassword }) => askNewPassword(page.chat.client));
  offer("account.passkeys", "shield", ({ showPasskeys }) => showPasskeys(page.chat.client));
}
