"""The OpenAPI 3.1 document of every REST route: the routes are the application's own, their bodies are told here."""

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
class Route:
    """A route of the application: how it is called and what its view says of itself."""

    method: str
    rule: str
    endpoint: str
    summary: str


@frozen
class Told:
    """What the routes themselves do not say. `answer` is (status, schema or media type); `errors` are codes.

    `or_text` is the media type of a text that may come in its place.
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
_SAID: Final = (
    "bad_json", "invalid_command", "unknown_type", "empty_message", "pillar_required", "unknown_pillar",
    "unknown_agent_type", "message_id_reused", "content_blocked", "message_too_large", "not_found", "rate_limited",
    "busy", "quota_exceeded", *_STORED,
)  # fmt: skip
_EXPORT: Final = {"format": {"type": "string", "enum": list(FORMS)}, "raw": TEXT, "events": TEXT}
_DIALECT: Final = {"type": "string", "enum": ["canonical", "flat", "payload", "agent_response"]}

ROUTES: Final[Mapping[str, Told]] = {
    "sessions.create": Told((201, "Session"), token=False, errors=("unauthenticated", "rate_limited", "internal")),
    "sessions.refresh": Told((200, "Session"), errors=("busy", *_STORED)),
    "sessions.end": Told((204, ""), errors=("busy", *_STORED)),
    "agents.agents": Told((200, "Agents"), errors=("internal",)),
    "agents.tools": Told((200, "Tools"), errors=("internal",)),
    "threads.listing": Told((200, "Threads"), query={"query": TEXT, **_PAGE}, errors=("invalid_command", *_STORED)),
    "threads.one": Told((200, "Thread"), errors=_THREAD),
    "threads.rename": Told(
        (200, "Thread"), body="Title", errors=(*_THREAD, "file_too_large", "content_blocked", "rate_limited", "busy")
    ),
    "threads.delete": Told((204, ""), errors=_THREAD),
    "threads.messages": Told((200, "Messages"), query=_PAGE, errors=_THREAD),
    "threads.export": Told((200, "Export"), query=_EXPORT, errors=(*_THREAD, "busy"), or_text="text/markdown"),
    "threads.events": Told(
        (200, "Events"),
        query={"after": _AFTER, "limit": {"type": "integer", "minimum": 1, "maximum": 1000}},
        errors=_THREAD,
    ),
    "stream.stream": Told(
        (200, "text/event-stream"),
        query={"after": _AFTER, "dialect": _DIALECT, "session_token": TEXT},
        headers={"Last-Event-ID": TEXT},
        errors=(*_THREAD, "rate_limited", "busy"),
    ),
    "commands.command": Told((202, "Accepted"), body="Command", errors=_SAID),
    "agui.agui": Told((200, "text/event-stream"), body="RunAgentInput", query={"agent": TEXT}),
    "alerts.alert": Told((202, "Alerted"), body="Alert", errors=("invalid_command", "message_too_large", "internal")),
    "account.export": Told(
        (200, "UserExport"), query=_EXPORT, errors=(*_THREAD, "busy"), or_text="text/markdown"
    ),
    "account.erase": Told(
        (200, "Erased"), body="Confirm", errors=("invalid_command", "message_too_large", "busy", *_STORED)
    ),
    "account.erase_user": Told((200, "Erased"), query={"tenant": TEXT}, errors=("not_found", "busy", *_STORED)),
    "account.sign_out": Told((204, ""), errors=("busy", *_STORED)),
    "account.sign_out_user": Told((204, ""), query={"tenant": TEXT}, errors=("busy", *_STORED)),
    "sanitize.sanitize": Told(
        (200, "Sanitized"), body="Sanitize",
        errors=("invalid_command", "message_too_large", "rate_limited", "busy", "internal"),
    ),
    "files.upload": Told(
        (201, "File"), body="Upload", media_type="multipart/form-data",
        errors=("invalid_file", "invalid_command", "file_too_large", "quota_exceeded", "content_blocked", *_STORED),
    ),
    "files.download": Told((200, "application/octet-stream"), errors=("not_found", "invalid_command", *_STORED)),
    "page.index": Told((200, "text/html"), token=False, errors=("not_found",)),
    "page.favicon": Told((200, "image/svg+xml"), token=False, errors=("not_found",)),
    "page.asset": Told((200, "*/*"), token=False, errors=("not_found",)),
    "page.observer": Told((200, "text/html"), token=False, errors=("not_found",)),
    "observer.tree": Told(
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
    "observer.incidents": Told((200, "Incidents"), errors=("rate_limited", "internal")),
    "observer.counts": Told((200, "Counts"), query={"tenant": TEXT}, errors=("rate_limited", "internal")),
    "observer.changes": Told((200, "text/event-stream"), errors=("busy", "rate_limited", "internal")),
    "observer.kill": Told(
        (202, "Killed"), body="Kill",
        errors=("invalid_command", "message_too_large", "not_found", "rate_limited", "internal"),
    ),
    "operations.healthz": Told((200, "Health"), token=False),
    "operations.readyz": Told((200, "Ready"), token=False),
    "operations.metrics": Told((200, "text/plain"), token=False),
    "references.openapi_json": Told((200, "Anything"), token=False),
    "references.asyncapi_json": Told((200, "Anything"), token=False),
}  # fmt: skip


def openapi(version: str, routes: Iterable[Route], address: str = "http://127.0.0.1:8002") -> dict[str, Any]:
    """The document for a server with these routes, reached at this address.

    Raises KeyError for a route that nothing is told of here.
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


def _operation(route: Route, path: str) -> dict[str, Any]:
    told = ROUTES[route.endpoint]
    operation: dict[str, Any] = {
        "operationId": route.endpoint,
        "summary": route.summary,
        "tags": [route.endpoint.partition(".")[0]],
        "responses": _responses(told),
    }
    parameters = [_parameter(name, "path", TEXT) for name in re.findall(r"{(\w+)}", path)]
    parameters += [_parameter(name, "query", schema) for name, schema in told.query.items() if name != "session_token"]
    parameters += [_parameter(name, "header", schema) for name, schema in told.headers.items()]
    if parameters:
        operation["parameters"] = parameters
    if told.body is not None:
        content = {told.media_type: {"schema": {"$ref": f"#/components/schemas/{told.body}"}}}
        operation["requestBody"] = {"required": True, "content": content}
    if told.token:
        operation["security"] = [{"bearer": []}, *([{"query": []}] if "session_token" in told.query else [])]
    return operation


def _parameter(name: str, where: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": schema}


def _responses(told: Told) -> dict[str, Any]:
    status, shape = told.answer
    content = _content(shape)
    if told.or_text:
        content["content"][told.or_text] = {"schema": TEXT}
    responses: dict[str, Any] = {str(status): {"description": "Done."} | content}
    if told.answer == (200, "Ready"):
        responses["503"] = {"description": "Messages cannot be taken now."} | _content("Ready")
    errors: dict[int, list[str]] = {}
    # A page of another origin is refused everywhere, and so is a token that is missing or bad where one is needed.
    for code in dict.fromkeys(
        [*told.errors, "forbidden", *(["unauthenticated", "token_expired"] if told.token else [])]
    ):
        errors.setdefault(ERRORS[code].http_status, []).append(code)
    for error_status, codes in sorted(errors.items()):
        responses[str(error_status)] = {"description": ", ".join(f"`{code}`" for code in codes)} | _content("Error")
    return responses


def _content(shape: str) -> dict[str, Any]:
    if not shape:
        return {}
    if "/" in shape:
        # What one event holds is told by AsyncAPI; readers of OpenAPI 3.1 do not agree on what a schema here is about.
        text = shape.startswith("text/") and shape != "text/event-stream"
        return {"content": {shape: {"schema": TEXT if text else {}}}}
    return {"content": {JSON: {"schema": {"$ref": f"#/components/schemas/{shape}"}}}}
