"""`/api/threads/{id}/servers`: the MCP servers of the agents that the caller may use, and switching them per thread."""

from typing import Any

from attrs import frozen
from quart import Blueprint

from transport.wire.errors import CommandRejected
from understudy.chat.routing import check_id
from understudy.tools.mcp.link import LinkState, McpLink
from understudy.tools.mcp.user_links import UserLink
from understudy.web.context import agents_of_caller, identity, read_json, web_context

blueprint = Blueprint("servers", __name__, url_prefix="/api/threads")

BODY_BYTES = 1024
"""Size limit of a body that switches a server."""


@frozen
class SwitchRequest:
    """The body of a request to switch a server."""

    on: bool


@blueprint.get("/<thread_id>/servers")
async def listing(thread_id: str) -> dict[str, Any]:
    """List the servers with their tools and state, and whether each is on in this thread."""
    off = await _off(thread_id)
    for link, _ in _links().values():
        if isinstance(link, UserLink):
            await link.look()
    return {"servers": [_row(link, agents, off) for link, agents in _links().values()]}


@blueprint.put("/<thread_id>/servers/<name>")
async def switch(thread_id: str, name: str) -> dict[str, Any]:
    """Switch a server off in this thread, or on again: `{"on": false}`. Its next turn has other tools."""
    await _off(thread_id)
    given = await read_json(SwitchRequest, '{"on": false}', BODY_BYTES)
    found = _links().get(name)
    if found is None:
        raise CommandRejected("not_found", "There is no MCP server of that name.")
    await web_context().store.switch_server(identity().user, thread_id, name, on=given.on)
    return _row(*found, [] if given.on else [name])


def _links() -> dict[str, tuple[McpLink, list[str]]]:
    """Return the links of the agents that the caller may use, with the names of these agents, by name."""
    found: dict[str, tuple[McpLink, list[str]]] = {}
    for agent in agents_of_caller().values():
        for link in web_context().mcp.of_agent(agent, (), identity().user):
            found.setdefault(link.name, (link, []))[1].append(agent.name)
    return found


async def _off(thread_id: str) -> list[str]:
    """Return the names of the servers that are off in a thread.

    Raises:
        CommandRejected: `not_found`: the caller has no such thread.
    """
    check_id("thread_id", thread_id)
    context, user = web_context(), identity().user
    if await context.store.thread(user, thread_id) is None:
        raise CommandRejected("not_found")
    return await context.store.servers_off(user, thread_id)


def _row(link: McpLink, agents: list[str], off: list[str]) -> dict[str, Any]:
    """Return a server as it is listed. Why it cannot be reached is for operators, in the health and the log."""
    return {
        "name": link.name,
        "title": link.title,
        "state": link.state.value,
        "on": link.name not in off,
        "auth": link.server.auth or None,
        "agents": agents,
        "tools": [
            {"name": each.name, "description": each.description, "approval": link.needs_approval(each)}
            for each in (link.definitions.values() if link.state is not LinkState.AWAY else ())
        ],
        "left_out": [{"name": each.name, "why": each.why} for each in link.left_out],
    }
