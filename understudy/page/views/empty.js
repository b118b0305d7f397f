/** The view of an empty chat: the agent, and a few example requests. */

import { monogram } from "./agents.js";
import { t } from "../client/messages.js";
import { el } from "./dom.js";
import { humanised } from "../client/format.js";

/** `agent` as in GET /api/agents; `onStarter({text, tool, arguments})` begins with it; `first` is a `firstVisit`, null for all others. */
export function emptyChat(agent, onStarter, first = null) {
  const title = agent.title || humanised(agent.name);
  const starters = agent.starters ?? [];
  return el("div.empty", {},
    monogram(title, agent.agent_type, agent.pillar),
    el("h2", {}, agent.agent_type === "guide" ? t("chat.ask_what") : title),
    el("p", {}, first?.line ?? agent.description ?? ""),
    first?.demos,
    starters.length > 0 && el("ul.starters", { "aria-label": t("chat.starters") }, starters.slice(0, 4).map((starter) => el("li", {},
      el("button.starter", { type: "button", onclick: () => onStarter(starter) }, starter.text)))));
}
