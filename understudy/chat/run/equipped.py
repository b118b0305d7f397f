"""An agent as its model is told of it: with the tools that it has for this user at this point of the run. Pure."""

from attrs import evolve, frozen

from understudy.agents.agent import Agent
from understudy.agents.permissions import Permissions, Rules
from understudy.chat.messages import RunRequest
from understudy.chat.run.client_tools import client_tools
from understudy.chat.run.recall import recall_tool
from understudy.chat.run.replay import RECALL
from understudy.chat.run.window import tools_tokens
from understudy.models.model import AgentCard
from understudy.storage.store import Store


@frozen
class Equipped:
    """The agent that was started as `agent_id`; `recalls`: with the tool that reads shortened results. `rules` were in
    force when it was made.

    `card` describes it to its model, with the tools that the user may use, and those of the client. These are about
    `tool_tokens` tokens.
    """

    agent_id: str
    recalls: bool
    rules: Rules
    agent: Agent
    card: AgentCard
    tool_tokens: int


def equip(
    agent: Agent, agent_id: str, job: RunRequest, store: Store, permissions: Permissions, *, recalls: bool
) -> Equipped:
    """Describe an agent to its model. It takes as long as its tools have schemas, so it is done once for many turns."""
    more = client_tools(job.settings, agent.tools)
    if recalls and agent.tool(RECALL) is None:
        more = (*more, recall_tool(store))
    if more:
        agent = evolve(agent, tools=(*agent.tools, *more))
    card = permissions.for_user(agent, job).card()
    return Equipped(agent_id, recalls, permissions.rules, agent, card, tools_tokens(card.tools))
