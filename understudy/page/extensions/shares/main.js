/** Adds the dialog of public links to the menu of a chat. See `extensions.js`. */

import { learn, t } from "../../client/messages.js";
import { MESSAGES } from "./messages/page.js";

export function extend(page) {
  learn(MESSAGES);
  const use = page.lazy(async () => {
    const [{ SharesDialog }] = await Promise.all([import("./dialog.js"), page.addStyle(new URL("./dialog.css", import.meta.url))]);
    return SharesDialog;
  });
  const share = (thread) => use((SharesDialog) => new SharesDialog(page.ask, thread, page.chat.tip(thread.id)).open());
  page.add("chatActs", (thread) => (page.chat.agents.settings["shares.links"] === true ? { label: t("share.item"), icon: "link", act: () => share(thread) } : null));
}
