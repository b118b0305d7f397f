"""`GET /api/agents` and `GET /api/tools`: the agents, their tools, and the model in use."""

import gzip
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import fields
from msgspec import Struct
from quart import Response, request

from understudy.agents.agent import Agent
from understudy.agents.framework import is_of_framework
from understudy.chat.consents import Consents
from understudy.chat.conversation.acceptance import EarlierWork
from understudy.extension import SHOWN
from understudy.tools.offers import Starter
from understudy.tools.result import to_json
from understudy.web.context import agents_of_caller, identity, web_context
from understudy.web.routes import Routes, as_json

blueprint = Routes("agents", __name__, url_prefix="/api")


class ShownModel(Struct):
    """A model by its name, with the notice for its users."""

    name: str
    notice: str | None


class ShownAgent(Struct):
    """An agent, with the tools that the caller may use."""

    name: str
    agent_type: str
    pillar: str | None
    title: str
    description: str
    tools: list[str]
    starters: Sequence[Starter]
    translations: Mapping[str, Mapping[str, Any]]
    continues: bool
    servers: list[str]
    output: Mapping[str, Any] | None
    model: ShownModel


class DefaultModel(ShownModel):
    """The model of the first agent, and settings of the page: the currency of prices, whether costs are shown, and
    whether voice input is offered."""

    currency: str
    costs: bool
    voice: bool


class AgentsOfUser(Struct):
    """The agents that the caller may use, the default one first. `allow_always`: the server remembers consents."""

    agents: list[ShownAgent]
    settings: Mapping[str, Any]
    model: DefaultModel
    allow_always: bool


class ToolOfAgents(Struct):
    """A tool of the caller's agents."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    approval: str
    repeatable: bool


def _model(agent: Agent) -> ShownModel:
    """Describe the model of an agent. Its name is empty if a framework or another server chooses the model."""
    if agent.remote is not None or is_of_framework(agent.run):
        return ShownModel("", "")
    model = web_context().models.of(agent.model)
    return ShownModel(model.name, model.notice)


def _shown_settings() -> dict[str, Any]:
    """Return the settings of extensions that are marked `SHOWN` for clients, by their full names."""
    context = web_context()
    kinds = {name: kind for name, extension in context.extensions.items() if (kind := extension.settings()) is not None}
    return {
        f"{name}.{field.name}": getattr(context.settings.of(kind), field.name)
        for name, kind in kinds.items()
        for field in fields(kind)
        if SHOWN in field.metadata
    }


def _for_caller(agent: Agent) -> Agent:
    """Return the agent with the tools that the caller may use."""
    return web_context().permissions.for_user(agent, identity())


@blueprint.get("/agents", errors=("internal",), answer=AgentsOfUser)
async def agents() -> Response:
    """List the agents that the user may use, the default one first."""
    usable, can_continue = agents_of_caller(), web_context().parts.find(EarlierWork) is not None
    listed = [
        ShownAgent(
            agent.name,
            agent.agent_type,
            agent.pillar,
            agent.display_title,
            agent.description,
            [tool.name for tool in _for_caller(agent).tools],
            to_json(agent.starters),
            to_json(agent.translations),
            can_continue and agent.remote is None,
            [server.name for server in agent.servers],
            None if agent.output is None else agent.output.schema,
            _model(agent),
        )
        for agent in usable.values()
    ]
    context = web_context()
    first = context.models.of(next((agent.model for agent in usable.values()), None))
    costs, voice = context.settings.page.show_costs, context.settings.page.voice_input
    model = DefaultModel(first.name, first.notice, context.models.prices.currency, costs, voice)
    always = context.parts.find(Consents) is not None
    return await _compressed(as_json(AgentsOfUser(listed, _shown_settings(), model, always)))


async def _compressed(answer: Response) -> Response:
    """Compress an answer if the client accepts it, because the page waits for it on the first visit.

    The answer has neither a secret nor text of the request, so its length leaks nothing (the BREACH attack).
    """
    answer.vary.add("Accept-Encoding")
    if request.accept_encodings.quality("gzip") > 0:
        answer.set_data(gzip.compress(await answer.get_data(as_text=False), mtime=0))
        answer.headers["Content-Encoding"] = "gzip"
    return answer


@blueprint.get("/tools", errors=("internal",))
async def tools() -> dict[Literal["tools"], list[ToolOfAgents]]:
    """List every tool of these agents."""
    by_name = {tool.name: tool for agent in agents_of_caller().values() for tool in _for_caller(agent).tools}
    listed = [
        ToolOfAgents(tool.name, tool.description, dict(tool.parameters), tool.approval_mode, tool.retry_safe)
        for tool in by_name.values()
    ]
    return {"tools": listed}
