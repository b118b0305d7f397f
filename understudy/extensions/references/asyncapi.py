"""Builds the AsyncAPI 3.0 document of the sockets and event streams, from the wire's vocabulary. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from transport.wire.codes import CLOSES
from transport.wire.json_schema import TEXT, WHOLE, Schema, object_of
from understudy.extensions.references.schemas import (
    RESPONSE_EXAMPLE,
    about,
    chunk_schema,
    example_of,
    form_schema,
    response_form_schema,
    shown,
)
from understudy.storage.limits import Limits
from understudy.wire.codes import ERRORS
from understudy.wire.commands import COMMANDS
from understudy.wire.dialects import SUBPROTOCOLS, Dialect

ASYNCAPI: Final = "3.0.0"
RESPONSE_FORM: Final = "message_to_agent"
"""The name in the document of the form of `say` without a `type`."""
SOCKETS: Final[Mapping[str, tuple[str, str, Dialect]]] = {
    "ws": ("/ws", "Every agent over one connection.", Dialect.CANONICAL),
    "agent": ("/api/ws/agent", "Every agent over one connection.", Dialect.AGENT_RESPONSE),
}
"""Each endpoint: its path, its description, and its default dialect."""
STREAM: Final = "/api/threads/{thread_id}/stream"


def asyncapi(version: str, limits: Limits, host: str = "127.0.0.1:8002") -> dict[str, Any]:
    """Build the document for a server of this version with these limits, reached at `host`."""
    channels = {**_sockets(), **_streams()}
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "understudy",
            "version": version,
            "description": "Commands from clients to the server, and events the other way.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(host),
        "channels": channels,
        "operations": _operations(channels),
        "components": {"messages": dict(_messages()), "securitySchemes": _security()},
        "x-error-codes": [attrs.asdict(error) for error in ERRORS.values()],
        "x-close-codes": [attrs.asdict(close) for close in CLOSES.values()],
        "x-limits": attrs.asdict(limits),
        "x-subprotocols": {name: dialect.value for name, dialect in SUBPROTOCOLS.items()},
    }


def _servers(host: str) -> dict[str, Any]:
    schemes = [{"$ref": f"#/components/securitySchemes/{name}"} for name in _security()]
    return {
        "sockets": {"host": host, "protocol": "ws", "security": schemes},
        "streams": {"host": host, "protocol": "http", "security": schemes},
    }


def _security() -> dict[str, Any]:
    return {
        "subprotocol": {
            "type": "httpApiKey",
            "in": "header",
            "name": "Sec-WebSocket-Protocol",
            "description": "`jwt.TOKEN`, the token as it is or base64url-encoded once more.",
        },
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "query": {"type": "httpApiKey", "in": "query", "name": "session_token"},
    }


def _messages() -> Iterable[tuple[str, dict[str, Any]]]:
    for name, kind in COMMANDS.items():
        yield f"command.{name}", _message(name, form_schema(name), about(kind), example_of(name))
    summary = "A message to an agent, in the form without a type."
    yield f"command.{RESPONSE_FORM}", _message(RESPONSE_FORM, response_form_schema(), summary, RESPONSE_EXAMPLE)
    for dialect in Dialect:
        for name, schema in shown(dialect).items():
            yield f"{dialect.value}.{name}", _message(name, schema, schema["description"])
    yield "chunk", _message("chunk", chunk_schema(), chunk_schema()["description"])


def _message(name: str, payload: Schema, summary: str, example: Mapping[str, Any] | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"name": name, "summary": summary, "contentType": "application/json", "payload": payload}
    return message if example is None else message | {"examples": [{"name": name, "payload": dict(example)}]}


def _refs(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _sockets() -> dict[str, Any]:
    channels = {}
    commands = [f"command.{name}" for name in (*COMMANDS, RESPONSE_FORM)]
    for name, (path, description, default) in SOCKETS.items():
        for dialect in Dialect:
            query: Schema = {"type": "string", "const": dialect.value}
            parameters = object_of({"dialect": query, "session_token": TEXT}, [] if dialect is default else ["dialect"])
            channel: dict[str, Any] = {
                "address": path,
                "description": description,
                "servers": [{"$ref": "#/servers/sockets"}],
                "messages": _refs([*commands, *_events(dialect)]),
                "bindings": {"ws": {"method": "GET", "query": parameters}},
            }
            channels[f"{name}.{dialect.value}"] = channel
    return channels


def _streams() -> dict[str, Any]:
    channels = {}
    for dialect in Dialect:
        query: Schema = {"type": "string", "const": dialect.value}
        needed = [] if dialect is Dialect.CANONICAL else ["dialect"]
        parameters = object_of({"dialect": query, "session_token": TEXT, "after": WHOLE}, needed)
        channels[f"stream.{dialect.value}"] = {
            "address": STREAM,
            "description": "A thread's events as server-sent events; each `data` is one of these messages.",
            "servers": [{"$ref": "#/servers/streams"}],
            "parameters": {"thread_id": {"description": "A thread of the token's user."}},
            "messages": _refs(name for name in _events(dialect) if name != "chunk"),
            "x-query": parameters,
        }
    return channels


def _events(dialect: Dialect) -> list[str]:
    return [*(f"{dialect.value}.{name}" for name in shown(dialect)), "chunk"]


def _operations(channels: Mapping[str, Any]) -> dict[str, Any]:
    """Build the server's operations on each channel: it receives commands, and sends events."""
    operations = {}
    for name, channel in channels.items():
        for action, is_command in (("receive", True), ("send", False)):
            messages = [message for message in channel["messages"] if message.startswith("command.") is is_command]
            if messages:
                operations[f"{action}.{name}"] = {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{name}"},
                    "messages": [{"$ref": f"#/channels/{name}/messages/{message}"} for message in messages],
                }
    return operations
