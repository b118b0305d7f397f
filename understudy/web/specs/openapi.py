"""The OpenAPI 3.1 document of every REST route: the routes are the application's own, their bodies are declared
here."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from actors.lifecycle import State
from transport.wire.codes import ERRORS
from understudy.privacy.export import FORMS
from understudy.web.specs.bodies import SCHEMAS
from understudy.web.specs.shapes import TEXT, Schema

OPENAPI: Final = "3.1.0"
JSON: Final = "application/json"


@frozen
class AppRoute:
    """A route of the application: its path and methods, and the summary of its view."""

    method: str
    rule: str
    endpoint: str
    summary: str


@frozen
class RouteSpec:
    """The parts of a route's description that its view does not have. `answer` is (status, schema or media type);
    `errors` are codes.

    `or_text` is the media type of a text that may be answered instead.
    """

    answer: tuple[int, str]
    body: str | None = None
    query: Mapping[str, Schema] = {}
    headers: Mapping[str, Schema] = {}
    errors: Sequence[str] = ()
    token: bool = True
    media_type: str = JSON
    or_text: str = ""


_PAGE: Final = {"cursor": TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 200}}
_AFTER: Final = {"type": "integer", "minimum": 0}
_STORED: Final = ("storage_unavailable", "internal")
_THREAD: Final = ("invalid_command", "not_found", *_STORED)
_COMMAND_ERRORS: Final = (
    "bad_json", "invalid_command", "unknown_type", "empty_message", "pillar_required", "unknown_pillar",
    "unknown_agent_type", "message_id_reused", "content_blocked", "message_too_large", "not_found", "rate_limited",
    "busy", "quota_exceeded", *_STORED,
)  # fmt: skip
_EXPORT: Final = {"format": {"type": "string", "enum": list(FORMS)}, "raw": TEXT, "events": TEXT}
_DIALECT: Final = {"type": "string", "enum": ["canonical", "flat", "payload", "agent_response"]}

ROUTES: Final[Mapping[str, RouteSpec]] = {
    "sessions.create": RouteSpec((201, "Session"), token=False, errors=("unauthenticated", "rate_limited", "internal")),
    "sessions.refresh": RouteSpec((200, "Session"), errors=("busy", *_STORED)),
    "sessions.end": RouteSpec((204, ""), errors=("busy", *_STORED)),
    "agents.agents": RouteSpec((200, "Agents"), errors=("internal",)),
    "agents.tools": RouteSpec((200, "Tools"), errors=("internal",)),
    "threads.listing": RouteSpec(
        (200, "Threads"), query={"query": TEXT, **_PAGE}, errors=("invalid_command", *_STORED)
    ),
    "threads.one": RouteSpec((200, "Thread"), errors=_THREAD),
    "threads.rename": RouteSpec(
        (200, "Thread"), body="Title", errors=(*_THREAD, "file_too_large", "content_blocked", "rate_limited", "busy")
    ),
    "threads.delete": RouteSpec((204, ""), errors=_THREAD),
    "threads.messages": RouteSpec((200, "Messages"), query=_PAGE, errors=_THREAD),
    "threads.export": RouteSpec((200, "Export"), query=_EXPORT, errors=(*_THREAD, "busy"), or_text="text/markdown"),
    "threads.events": RouteSpec(
        (200, "Events"),
        query={"after": _AFTER, "limit": {"type": "integer", "minimum": 1, "maximum": 1000}},
        errors=_THREAD,
    ),
    "stream.stream": RouteSpec(
        (200, "text/event-stream"),
        query={"after": _AFTER, "dialect": _DIALECT, "session_token": TEXT},
        headers={"Last-Event-ID": TEXT},
        errors=(*_THREAD, "rate_limited", "busy"),
    ),
    "commands.command": RouteSpec((202, "Accepted"), body="Command", errors=_COMMAND_ERRORS),
    "agui.agui": RouteSpec((200, "text/event-stream"), body="RunAgentInput", query={"agent": TEXT}),
    "alerts.alert": RouteSpec(
        (202, "Alerted"), body="Alert", errors=("invalid_command", "message_too_large", "internal")
    ),
    "account.export": RouteSpec(
        (200, "UserExport"), query=_EXPORT, errors=(*_THREAD, "busy"), or_text="text/markdown"
    ),
    "account.erase": RouteSpec(
        (200, "Erased"), body="Confirm", errors=("invalid_command", "message_too_large", "busy", *_STORED)
    ),
    "account.erase_user": RouteSpec((200, "Erased"), query={"tenant": TEXT}, errors=("not_found", "busy", *_STORED)),
    "account.sign_out": RouteSpec((204, ""), errors=("busy", *_STORED)),
    "account.sign_out_user": RouteSpec((204, ""), query={"tenant": TEXT}, errors=("busy", *_STORED)),
    "sanitize.sanitize": RouteSpec(
        (200, "Sanitized"), body="Sanitize",
        errors=("invalid_command", "message_too_large", "rate_limited", "busy", "internal"),
    ),
    "files.upload": RouteSpec(
        (201, "File"), body="Upload", media_type="multipart/form-data",
        errors=("invalid_file", "invalid_command", "file_too_large", "quota_exceeded", "content_blocked", *_STORED),
    ),
    "files.download": RouteSpec((200, "application/octet-stream"), errors=("not_found", "invalid_command", *_STORED)),
    "page.index": RouteSpec((200, "text/html"), token=False, errors=("not_found",)),
    "page.favicon": RouteSpec((200, "image/svg+xml"), token=False, errors=("not_found",)),
    "page.asset": RouteSpec((200, "*/*"), token=False, errors=("not_found",)),
    "page.observer": RouteSpec((200, "text/html"), token=False, errors=("not_found",)),
    "observer.tree": RouteSpec(
        (200, "ObservedTree"),
        query={
            "path": TEXT,
            "text": TEXT,
            "state": {"type": "string", "enum": [state.value for state in State]},
            "levels": {"type": "integer", "minimum": 0, "maximum": 8},
            "limit": {"type": "integer", "minimum": 1, "maximum": 500},
            "offset": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
        },
        errors=("invalid_command", "not_found", "rate_limited", "internal"),
    ),
    "observer.incidents": RouteSpec((200, "Incidents"), errors=("rate_limited", "internal")),
    "observer.counts": RouteSpec((200, "Counts"), query={"tenant": TEXT}, errors=("rate_limited", "internal")),
    "observer.changes": RouteSpec((200, "text/event-stream"), errors=("busy", "rate_limited", "internal")),
    "observer.kill": RouteSpec(
        (202, "Killed"), body="Kill",
        errors=("invalid_command", "message_too_large", "not_found", "rate_limited", "internal"),
    ),
    "operations.healthz": RouteSpec((200, "Health"), token=False),
    "operations.readyz": RouteSpec((200, "Ready"), token=False),
    "operations.metrics": RouteSpec((200, "text/plain"), token=False),
    "references.openapi_json": RouteSpec((200, "Anything"), token=False),
    "references.asyncapi_json": RouteSpec((200, "Anything"), token=False),
}  # fmt: skip


def openapi(version: str, routes: Iterable[AppRoute], address: str = "http://127.0.0.1:8002") -> dict[str, Any]:
    """Build the document for a server with these routes, reached at this address.

    Raises KeyError for a route without an entry in ROUTES.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.rule)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, path)
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "understudy",
            "version": version,
            "description": "What is done over plain HTTP. The sockets are described in /asyncapi.json.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": address}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "query": {"type": "apiKey", "in": "query", "name": "session_token"},
            },
        },
    }


def _operation(route: AppRoute, path: str) -> dict[str, Any]:
    spec = ROUTES[route.endpoint]
    operation: dict[str, Any] = {
        "operationId": route.endpoint,
        "summary": route.summary,
        "tags": [route.endpoint.partition(".")[0]],
        "responses": _responses(spec),
    }
    parameters = [_parameter(name, "path", TEXT) for name in re.findall(r"{(\w+)}", path)]
    parameters += [_parameter(name, "query", schema) for name, schema in spec.query.items() if name != "session_token"]
    parameters += [_parameter(name, "header", schema) for name, schema in spec.headers.items()]
    if parameters:
        operation["parameters"] = parameters
    if spec.body is not None:
        content = {spec.media_type: {"schema": {"$ref": f"#/components/schemas/{spec.body}"}}}
        operation["requestBody"] = {"required": True, "content": content}
    if spec.token:
        operation["security"] = [{"bearer": []}, *([{"query": []}] if "session_token" in spec.query else [])]
    return operation


def _parameter(name: str, where: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": schema}


def _responses(spec: RouteSpec) -> dict[str, Any]:
    status, shape = spec.answer
    content = _content(shape)
    if spec.or_text:
        content["content"][spec.or_text] = {"schema": TEXT}
    responses: dict[str, Any] = {str(status): {"description": "Done."} | content}
    if spec.answer == (200, "Ready"):
        responses["503"] = {"description": "Messages cannot be taken now."} | _content("Ready")
    errors: dict[int, list[str]] = {}
    # A page of another origin is refused everywhere, and so is a token that is missing or bad where one is needed.
    for code in dict.fromkeys(
        [*spec.errors, "forbidden", *(["unauthenticated", "token_expired"] if spec.token else [])]
    ):
        errors.setdefault(ERRORS[code].http_status, []).append(code)
    for error_status, codes in sorted(errors.items()):
        responses[str(error_status)] = {"description": ", ".join(f"`{code}`" for code in codes)} | _content("Error")
    return responses


def _content(shape: str) -> dict[str, Any]:
    if not shape:
        return {}
    if "/" in shape:
        # What one event holds is spec by AsyncAPI; readers of OpenAPI 3.1 do not agree on what a schema here is about.
        text = shape.startswith("text/") and shape != "text/event-stream"
        return {"content": {shape: {"schema": TEXT if text else {}}}}
    return {"content": {JSON: {"schema": {"$ref": f"#/components/schemas/{shape}"}}}}
