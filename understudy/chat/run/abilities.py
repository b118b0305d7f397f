"""The tool `abilities`: lists what can be done without a language model, and how to connect one."""

from typing import TYPE_CHECKING, Final

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest
from understudy.models.model import AgentCard
from understudy.models.offline import ABILITIES, NOTICE
from understudy.models.registry import Models
from understudy.tools.markdown import label
from understudy.tools.offers import NextStep
from understudy.tools.result import OwnResult
from understudy.tools.tool import Tool, ToolContext, tool

if TYPE_CHECKING:
    from understudy.chat.services import Services

HOW: Final = (
    "To connect one, start the server with `--model openai:NAME`, `--model anthropic:NAME` or, for any other server, "
    "`--model openai-chat:NAME`."
)
MAX_STARTERS: Final = 2
"""Starters of an agent that are named; a new chat with it shows more of them."""


def abilities_tool(models: Models) -> Tool:
    """Return the tool of a server with these models."""

    @tool(name=ABILITIES, retry_safe=True, timeout_s=5.0)
    async def abilities(context: ToolContext) -> OwnResult:
        """List what can be done here without a language model, each with its form, and how to connect one."""
        return list_abilities(context, (await models.hint() if models.hint else "") or HOW)

    return abilities


def list_abilities(context: ToolContext, how: str) -> OwnResult:
    """List what can be done without a language model; `how` says how to connect one."""
    forms: dict[str, dict[str, object]] = {}
    requests = []
    for agent in context.means.agents():
        for each in agent.tools:
            about = {"tool": each.name, "title": label(each.name.replace("-", " ")), "description": each.description}
            forms.setdefault(each.name, about | {"agent": agent.name, "parameters": dict(each.parameters)})
        if asked := [f"“{each.text}”" for each in agent.starters if each.tool][:MAX_STARTERS]:
            requests.append(f"- **{agent.title or agent.name}**: {' · '.join(asked)}")
    titles = ", ".join(str(each["title"]) for each in forms.values())
    value = {"notice": NOTICE, "how_to_connect": how, "abilities": list(forms.values())}
    steps = [NextStep(str(each["title"]), name) for name, each in forms.items()]
    answer = "\n\n".join(
        [NOTICE]
        + ["These requests are understood:\n\n" + "\n".join(requests)] * bool(requests)
        + [f"By a form: {titles}."] * bool(forms)
        + [how]
    )
    summary = f"{len(forms)} things can be done without a language model"
    return OwnResult(value, summary, answer=answer, next_steps=steps)


def reachable(services: "Services", agent: Agent, job: RunRequest) -> list[AgentCard]:
    """Describe an agent and its colleagues, with the tools that the user of a run may use."""
    permissions = services.permissions
    agents = (agent, *permissions.colleagues(agent, services.agents, job))
    return [permissions.for_user(each, job).card for each in agents]
