"""`/mcp`: the Model Context Protocol over streamable HTTP, without sessions, and its resource metadata (RFC 9728)."""

import uuid
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from quart import Response, current_app, request

from actors import ActorError, ChildSpec, Restart, StartChild
from transport.wire.errors import CommandRejected
from understudy.content.texts import run_off_loop
from understudy.extensions.mcp_door.exchange import AsgiExchange, AsgiExchangeActor
from understudy.web.context import WebContext, identity, own_url, read_body, web_context
from understudy.web.routes import EVENT_STREAM, JsonObject, Routes, as_json

if TYPE_CHECKING:
    from understudy.extensions.mcp_door.server import McpDoor

blueprint = Routes("mcp", __name__)

PART: Final = "mcp_door"
"""Name of the server among the application's extensions."""
METADATA: Final = "/.well-known/oauth-protected-resource/mcp"
PARSE_ERROR, INVALID_REQUEST = -32700, -32600
"""Codes of JSON-RPC 2.0, section 5.1."""


class JsonRpcMessage(msgspec.Struct):
    """The form of a message, checked before the SDK reads it: the SDK would take a message with an id of another type
    for a notification, and would accept texts that cannot be stored."""

    jsonrpc: Literal["2.0"]
    id: int | str | msgspec.UnsetType = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    params: dict[str, Any] | None = None


@blueprint.get(METADATA, token=False, errors=("internal",))
async def metadata() -> dict[str, Any]:
    """Return the metadata of `/mcp` as a protected resource (RFC 9728), with the provider whose tokens it takes."""
    context = web_context()
    issuer = context.settings.jwt.issuer if context.settings.jwt.keys else ""
    servers = {"authorization_servers": [issuer]} if issuer else {}
    return {"resource": f"{own_url()}/mcp", "bearer_methods_supported": ["header"], **servers}


@blueprint.post(
    "/mcp", media=EVENT_STREAM, body=JsonObject,
    also={202: "A notification.", 400: "No request of the protocol.", 406: "The client takes no stream."},
    errors=("message_too_large", "rate_limited", "busy", "not_found", "internal"),
)  # fmt: skip
async def mcp() -> Response:
    """Answer one request of an MCP client."""
    caller, body = identity(), await read_body()
    server = await _server()
    try:
        msgspec.json.decode(body, type=JsonRpcMessage)
    except msgspec.ValidationError as error:
        return _refused(INVALID_REQUEST, f"This is not a single JSON-RPC 2.0 message: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _refused(PARSE_ERROR, f"This is not JSON: {error}")
    exchange = AsgiExchange(request.scope, body)
    exchange.scope["state"] = {"caller": caller, "exchange": exchange, "url": own_url()}
    name = f"mcp-{uuid.uuid4().hex}"
    spec = ChildSpec(name, lambda: AsgiExchangeActor(exchange, server.serve), restart=Restart.TEMPORARY)
    try:
        await web_context().chat.connections().ask(StartChild(spec))
    except ActorError as error:
        raise CommandRejected("busy", retry_after=1.0) from error
    await exchange.started()
    response = Response(exchange, status=exchange.status)
    response.headers.clear()
    for header, value in exchange.headers:
        response.headers.add(header, value)
    response.timeout = None
    return response


@blueprint.after_request
async def name_metadata(answer: Response) -> Response:
    """Add the URL of the metadata to a refusal of a token."""
    if answer.status_code == 401:
        answer.headers["WWW-Authenticate"] = f'Bearer resource_metadata="{own_url()}{METADATA}"'
    return answer


def _refused(code: int, message: str) -> Response:
    return as_json({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}, 400)


async def _server() -> "McpDoor":
    """Return the MCP server. It is built at the first request, because the SDK is slow to import."""
    parts = current_app.extensions
    if PART not in parts:
        built = await run_off_loop(_build, web_context())
        parts.setdefault(PART, built)
    server: McpDoor = parts[PART]
    return server


def _build(context: WebContext) -> "McpDoor":
    from understudy.extensions.mcp_door.server import McpDoor

    return McpDoor(context)
