"""`GET /api/agents` and `GET /api/tools`: the agents, their tools, and the model in use."""

from typing import Any

from quart import Blueprint

from understudy.web.context import identity, web_context

blueprint = Blueprint("agents", __name__, url_prefix="/api")


@blueprint.get("/agents")
async def agents() -> dict[str, Any]:
    """List every agent with its wire names, and the model of the first of them."""
    identity()
    context = web_context()
    listed = [
        {
            "name": agent.name,
            "agent_type": agent.agent_type,
            "pillar": agent.pillar,
            "title": agent.display_title,
            "description": agent.description,
            "tools": [tool.name for tool in agent.tools],
            "starters": list(agent.starters),
        }
        for agent in context.agents.values()
    ]
    model = context.model_of(next(iter(context.agents.values())).model)
    return {"agents": listed, "model": {"name": model.name, "notice": model.notice}}


@blueprint.get("/tools")
async def tools() -> dict[str, Any]:
    """List every tool with its description, the JSON schema of its parameters, and whether it needs approval."""
    identity()
    known = {tool.name: tool for agent in web_context().agents.values() for tool in agent.tools}
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
