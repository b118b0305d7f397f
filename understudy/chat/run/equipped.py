"""An agent as its model is told of it: with the tools that it has for this user at this point of the run. Pure."""

from attrs import evolve, frozen

from understudy.agents.agent import Agent
from understudy.agents.permissions import Rules
from understudy.chat.messages import RunRequest
from understudy.chat.run.abilities import abilities_tool
from understudy.chat.run.client_tools import client_tools
from understudy.chat.run.recall import recall_tool
from understudy.chat.run.replay import RECALL
from understudy.chat.run.window import tools_tokens
from understudy.chat.services import Services
from understudy.models.model import AgentCard
from understudy.models.offline import ABILITIES
from understudy.models.providers import OFFLINE


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


def equip(agent: Agent, agent_id: str, job: RunRequest, services: Services, *, recalls: bool) -> Equipped:
    """Describe an agent to its model. It takes as long as its tools have schemas, so it is done once for many turns.

    Without a language model it has the tool that lists what can be done by a form.
    """
    permissions, more = services.permissions, client_tools(job.settings, agent.tools)
    if recalls and agent.tool(RECALL) is None:
        more = (*more, recall_tool(services.store))
    if agent.run is None and agent.tool(ABILITIES) is None and services.models.of(agent.model).name == OFFLINE:
        more = (*more, abilities_tool(services))
    if more:
        agent = evolve(agent, tools=(*agent.tools, *more))
    card = permissions.for_user(agent, job).card()
    return Equipped(agent_id, recalls, permissions.rules, agent, card, tools_tokens(card.tools))
