/** The view of an empty chat: the agent, and a few example requests. */

import { monogram } from "./agents.js";
import { el } from "./dom.js";
import { humanised } from "../client/format.js";

/** `agent` as in GET /api/agents; `onStarter(text)` begins with it. */
export function emptyChat(agent, onStarter) {
  const title = agent.title || humanised(agent.name);
  const starters = (agent.starters ?? []).map((starter) => (typeof starter === "string" ? starter : starter.text ?? starter.title ?? "")).filter(Boolean);
  return el("div.empty", {},
    monogram(title, agent.agent_type, agent.pillar),
    el("h2", {}, agent.agent_type === "guide" ? "What are you working on?" : title),
    el("p", {}, agent.description ?? ""),
    starters.length > 0 && el("ul.starters", { "aria-label": "Ways to begin" }, starters.slice(0, 4).map((text) => el("li", {},
      el("button.starter", { type: "button", onclick: () => onStarter(text) }, text)))));
}
