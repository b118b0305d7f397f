/** Adds the agents' memory to the chat page: the dialog in which users see, change and delete it. See `extensions.js`. */

import { learn, t } from "../../client/messages.js";
import { MESSAGES } from "./messages/page.js";

export function extend(page) {
  learn(MESSAGES);
  page.addDialog({
    id: "memory", picture: "thought", title: t("memory.button"),
    load: async () => new (await import("./dialog.js")).MemoryDialog(page),
  });
}
