"""An agent as its model is told of it: with the tools that it has for this user at this point of the run. Pure."""

from collections.abc import Mapping

from attrs import evolve, frozen

from understudy.agents.agent import Agent
from understudy.agents.permissions import Rules
from understudy.chat.messages import RunRequest
from understudy.chat.run.client_tools import client_tools
from understudy.chat.run.recall import recall_tool
from understudy.chat.run.replay import RECALL
from understudy.chat.run.window import tools_tokens
from understudy.chat.services import Services
from understudy.models.model import FENCE_NOTE, AgentCard, ToolCard
from understudy.models.offline import ABILITIES
from understudy.models.providers import OFFLINE
from understudy.tools.tool import Tool


@frozen
class Equipped:
    """An agent at work; `recalls`: with the tool that reads shortened results. `rules` were in force when it was made.

    `tools` are those that it can call, by name: its own and those of the client. `card` describes it to its model, with
    the tools that the user may use. These are about `tool_tokens` tokens. `instructions` are the agent's, with the note
    about fences: they are always the same.
    """

    recalls: bool
    rules: Rules
    tools: Mapping[str, Tool]
    card: AgentCard
    tool_tokens: int
    instructions: str


def equip(agent: Agent, job: RunRequest, services: Services, *, recalls: bool) -> Equipped:
    """Describe an agent to its model. It takes as long as its tools have schemas, so it is done once for many turns.

    Without a language model it has the tool that lists what can be done by a form.
    """
    permissions, own = services.permissions, {each.name: each for each in agent.tools}
    more = list(client_tools(job.settings["tools"], own)) if "tools" in job.settings else []
    if recalls and RECALL not in own:
        more.append(recall_tool(services.store))
    if agent.run is None and ABILITIES not in own and services.models.of(agent.model).name == OFFLINE:
        more.append(services.abilities)
    card = permissions.for_user(agent, job).card
    shown = [ToolCard(each.name, each.description, each.parameters) for each in more if permissions.may_call(each, job)]
    card = evolve(card, tools=(*card.tools, *shown))
    tools = own | {each.name: each for each in more}
    instructions = agent.instructions or f"You are {agent.display_title}. {agent.description}".strip()
    instructions = f"{instructions}\n\n{FENCE_NOTE}"
    return Equipped(recalls, permissions.rules, tools, card, tools_tokens(card.tools), instructions)
