"""`GET /api/agents` and `GET /api/tools`: the agents, their tools, and the model in use."""

import gzip
import json
from typing import Any

from quart import Blueprint, Response, jsonify, request

from understudy.agents.agent import Agent
from understudy.agents.framework import is_of_framework
from understudy.chat.run.continuation import can_continue
from understudy.models.model import Model
from understudy.tools.result import to_json
from understudy.web.context import agents_of_caller, identity, web_context

blueprint = Blueprint("agents", __name__, url_prefix="/api")


def _shown(model: Model) -> dict[str, Any]:
    return {"name": model.name, "notice": model.notice}


def _model(agent: Agent) -> dict[str, Any]:
    """Describe the model of an agent; without a name if a framework, or another server, has one of its own for it."""
    if agent.remote is not None or is_of_framework(agent.run):
        return {"name": "", "notice": ""}
    return _shown(web_context().models.of(agent.model))


def _own(agent: Agent) -> Agent:
    """Return the agent as the caller may use it."""
    return web_context().permissions.for_user(agent, identity())


@blueprint.get("/agents")
async def agents() -> Response:
    """List every agent that the user may use with its wire names, the default one first, and the model of that one."""
    usable = agents_of_caller()
    listed = [
        {
            "name": agent.name,
            "agent_type": agent.agent_type,
            "pillar": agent.pillar,
            "title": agent.display_title,
            "description": agent.description,
            "tools": [tool.name for tool in _own(agent).tools],
            "starters": to_json(agent.starters),
            "translations": to_json(agent.translations),
            "continues": can_continue(agent),
            "servers": [each.name for each in agent.servers],
            "output": None if agent.output is None else agent.output.schema,
            "model": _model(agent),
        }
        for agent in usable.values()
    ]
    context = web_context()
    first = context.models.of(next((agent.model for agent in usable.values()), None))
    return _compressed(
        {
            "agents": listed,
            "share_links": context.settings.share_links,
            "model": _shown(first)
            | {
                "currency": context.currency,
                "costs": context.settings.show_costs,
                "voice": context.settings.voice_input,
            },
        }
    )


def _compressed(body: dict[str, Any]) -> Response:
    """Build the answer, compressed for those who accept that: the page waits for it on its first visit.

    Nothing in it is a secret or comes from the request, so its length says nothing (BREACH).
    """
    answer = jsonify(body)
    answer.vary.add("Accept-Encoding")
    if request.accept_encodings.quality("gzip") > 0:
        answer.set_data(gzip.compress(json.dumps(body, ensure_ascii=False).encode(), mtime=0))
        answer.headers["Content-Encoding"] = "gzip"
    return answer


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
            "repeatable": tool.retry_safe,
        }
        for tool in known.values()
    ]
    return {"tools": listed}
