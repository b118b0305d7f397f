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
"""Starters that are listed for each agent; a new chat with it shows more of them."""


def abilities_tool(models: Models) -> Tool:
    """Return the tool of a server with these models."""

    @tool(name=ABILITIES, retry_safe=True, timeout_s=5.0)
    async def abilities(context: ToolContext) -> OwnResult:
        """List what can be done here without a language model, each with its form, and how to connect one."""
        return list_abilities(context, (await models.hint() if models.hint else "") or HOW)

    return abilities


def list_abilities(context: ToolContext, hint: str) -> OwnResult:
    """List what can be done without a language model; `hint` says how to connect one."""
    forms: dict[str, dict[str, object]] = {}  # by the name of the tool
    lines = []
    for agent in context.means.agents():
        for offered in agent.tools:
            title, parameters = label(offered.name.replace("-", " ")), dict(offered.parameters)
            about = {"tool": offered.name, "title": title, "description": offered.description}
            forms.setdefault(offered.name, about | {"agent": agent.name, "parameters": parameters})
        if starters := [f"“{starter.text}”" for starter in agent.starters if starter.tool][:MAX_STARTERS]:
            lines.append(f"- **{agent.title or agent.name}**: {' · '.join(starters)}")
    titles = ", ".join(str(form["title"]) for form in forms.values())
    value = {"notice": NOTICE, "how_to_connect": hint, "abilities": list(forms.values())}
    steps = [NextStep(str(form["title"]), name) for name, form in forms.items()]
    understood = "These requests are understood:\n\n" + "\n".join(lines) if lines else ""
    by_form = f"By a form: {titles}." if forms else ""
    answer = "\n\n".join(filter(None, (NOTICE, understood, by_form, hint)))
    summary = f"{len(forms)} things can be done without a language model"
    return OwnResult(value, summary, answer=answer, next_steps=steps)


def reachable(services: "Services", agent: Agent, request: RunRequest) -> list[AgentCard]:
    """Return an agent and its colleagues, with the tools that a run's user may use: what `CallMeans.agents` gives."""
    permissions = services.permissions
    agents = (agent, *permissions.colleagues(agent, services.agents, request))
    return [permissions.for_user(allowed, request).card for allowed in agents]
