"""`/mcp`: the Model Context Protocol over streamable HTTP, without sessions."""

import uuid
from typing import TYPE_CHECKING, Final

from quart import Blueprint, Response, current_app, request

from actors import ActorError, ChildSpec, Restart, StartChild
from transport.wire.errors import CommandRejected
from understudy.content.texts import run_off_loop
from understudy.web.context import WebContext, identity, read_body, web_context
from understudy.web.mcp.exchange import AsgiExchange, AsgiExchangeActor

if TYPE_CHECKING:
    from understudy.web.mcp.server import McpDoor

blueprint = Blueprint("mcp", __name__)

PART: Final = "mcp"
"""Name of the server among the application's extensions."""


@blueprint.post("/mcp")
async def mcp() -> Response:
    """Answer one request of an MCP client."""
    caller, body = identity(), await read_body()
    server, streams = await _server(), web_context().streams
    exchange = AsgiExchange(request.scope, body)
    exchange.scope["state"] = {"caller": caller, "exchange": exchange}
    name = f"mcp-{uuid.uuid4().hex}"
    spec = ChildSpec(name, lambda: AsgiExchangeActor(exchange, server.serve), restart=Restart.TEMPORARY)
    try:
        await streams.connections().ask(StartChild(spec))
    except ActorError as error:
        raise CommandRejected("busy", retry_after=1.0) from error
    await exchange.started()
    answer = Response(exchange, status=exchange.status)
    answer.headers.clear()
    for header, value in exchange.headers:
        answer.headers.add(header, value)
    answer.timeout = None
    return answer


async def _server() -> "McpDoor":
    """Return the server, which is made at the first request: the SDK is slow to import."""
    parts = current_app.extensions
    if PART not in parts:
        made = await run_off_loop(_build, web_context())
        parts.setdefault(PART, made)
    server: McpDoor = parts[PART]
    return server


def _build(context: WebContext) -> "McpDoor":
    try:
        from understudy.web.mcp.server import McpDoor
    except ModuleNotFoundError as error:
        raise CommandRejected("not_found", "MCP is not installed here: it needs `understudy-server[mcp]`.") from error
    return McpDoor(context)
