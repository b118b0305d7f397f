"""`GET /v1/models`: the agents that the user may use, in the form of OpenAI's list of models."""

from typing import Literal

from msgspec import Struct

from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent
from understudy.web.context import agents_of_caller
from understudy.web.routes import Routes

blueprint = Routes("models", __name__, url_prefix="/v1/models")


class AgentAsModel(Struct):
    """An agent in the form of a model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    description: str


class AgentsAsModels(Struct):
    """The agents that the user may use."""

    object: Literal["list"]
    data: list[AgentAsModel]


@blueprint.get("", errors=("rate_limited", "internal"))
async def models() -> AgentsAsModels:
    """List the agents that the user may use as models, the default one first."""
    return AgentsAsModels("list", [_model(agent) for agent in agents_of_caller().values()])


@blueprint.get("/<agent>", errors=("not_found", "rate_limited", "internal"))
async def model(agent: str) -> AgentAsModel:
    """Return one agent as a model."""
    chosen = agents_of_caller().get(agent)
    if chosen is None:
        raise CommandRejected("not_found", "There is no agent of that name.")
    return _model(chosen)


def _model(agent: Agent) -> AgentAsModel:
    # Agents have no time of their creation: 0 says so, and clients only show it.
    return AgentAsModel(agent.name, "model", 0, "understudy", agent.display_title, agent.description)
