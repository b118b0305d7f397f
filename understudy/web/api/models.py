"""`GET /v1/models`: the agents that the user may use, in the form of OpenAI's list of models."""

from typing import Any

from quart import Blueprint

from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent
from understudy.web.context import agents_of_caller

blueprint = Blueprint("models", __name__, url_prefix="/v1/models")


@blueprint.get("")
async def models() -> dict[str, Any]:
    """List the agents that the user may use as models, the default one first."""
    return {"object": "list", "data": [_model(agent) for agent in agents_of_caller().values()]}


@blueprint.get("/<agent>")
async def model(agent: str) -> dict[str, Any]:
    """Return one agent as a model."""
    found = agents_of_caller().get(agent)
    if found is None:
        raise CommandRejected("not_found", "There is no agent of that name.")
    return _model(found)


def _model(agent: Agent) -> dict[str, Any]:
    # Agents have no time of their creation: 0 says so, and clients only show it.
    about = {"name": agent.display_title, "description": agent.description}
    return {"id": agent.name, "object": "model", "created": 0, "owned_by": "understudy", **about}
