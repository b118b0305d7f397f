/** Adds MCP servers to the chat page: at its top, the dialog of the servers of a chat. See `extensions.js`. */

import { learn, t } from "../../client/messages.js";
import { MESSAGES } from "./messages/page.js";

export function extend(page) {
  learn(MESSAGES);
  page.addTopDialog({
    id: "servers", picture: "tool", title: t("servers.of_chat"), fits: (agents) => agents.list.some((agent) => agent.servers?.length > 0),
    load: async () => new (await import("./dialog.js")).ServersDialog(page),
  });
}
