"""`GET /api/agents` and `GET /api/tools`: the agents, their tools, and the model in use."""

from typing import Any

from quart import Blueprint

from understudy.agents.agent import Agent
from understudy.models.model import Model
from understudy.web.context import agents_of_caller, identity, web_context

blueprint = Blueprint("agents", __name__, url_prefix="/api")


def _shown(model: Model) -> dict[str, Any]:
    return {"name": model.name, "notice": model.notice}


def _own(agent: Agent) -> Agent:
    """Return the agent as the caller may use it."""
    caller = identity()
    return agent.for_user(caller.user, caller.roles, caller.groups)


@blueprint.get("/agents")
async def agents() -> dict[str, Any]:
    """List every agent that the user may use with its wire names, the default one first, and the model of that one."""
    usable, model_of = agents_of_caller(), web_context().model_of
    listed = [
        {
            "name": agent.name,
            "agent_type": agent.agent_type,
            "pillar": agent.pillar,
            "title": agent.display_title,
            "description": agent.description,
            "tools": [tool.name for tool in _own(agent).tools],
            "starters": list(agent.starters),
            "servers": [each.name for each in agent.servers],
            "output": None if agent.output is None else agent.output.schema,
            "model": _shown(model_of(agent.model)),
        }
        for agent in usable.values()
    ]
    first = model_of(next((agent.model for agent in usable.values()), None))
    return {"agents": listed, "model": _shown(first) | {"currency": web_context().currency}}


@blueprint.get("/tools")
async def tools() -> dict[str, Any]:
    """List every tool of these agents: its description, the JSON schema of its parameters, whether it needs consent."""
    known = {tool.name: tool for agent in agents_of_caller().values() for tool in _own(agent).tools}
    listed = [
        {
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
            "approval": tool.approval_mode,
        }
        for tool in known.values()
    ]
    return {"tools": listed}
