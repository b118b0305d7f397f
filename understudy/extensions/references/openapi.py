"""Builds the OpenAPI 3.1 document of all REST routes, from the declarations at the routes. Pure."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal, get_args, get_origin

from transport.wire.json_schema import FLAG, TEXT, Schema, components_of, one_of, record, whole
from understudy.extensions.references.schemas import form_schema, response_form_schema, shown
from understudy.web.api.commands import CONNECTIONLESS
from understudy.web.routes import EVENT_STREAM, JSON, HttpRoute, JsonObject
from understudy.wire.codes import ERRORS
from understudy.wire.commands import COMMANDS
from understudy.wire.dialects import Dialect

OPENAPI: Final = "3.1.0"
OVER_HTTP: Final = tuple(name for name, kind in COMMANDS.items() if kind in CONNECTIONLESS)
"""Names of the types of commands that `POST /api/commands` accepts."""
WIRE: Final[Mapping[str, Schema]] = {
    "Error": record(
        error=record("error_id", code=one_of(ERRORS), message=TEXT, retryable=FLAG, error_id=TEXT)
    ),
    "Event": {"anyOf": list(shown(Dialect.CANONICAL).values())},
    "Command": {"anyOf": [*(form_schema(name) for name in OVER_HTTP), response_form_schema()]},
}  # fmt: skip
"""Schemas of the wire's vocabulary; all other schemas are those of the routes' types."""
REFERENCE: Final = "#/components/schemas/{name}"


class Schemas:
    """Builds the schemas of the types that routes name, and collects those of classes in `components`, by name."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = dict(WIRE)

    def of(self, kind: Any, *, answered: bool = False) -> Schema:
        """Return the schema of a type. Members with a default are optional, except in an answer (`answered`).

        Raises ValueError for two classes of one name.
        """
        if get_origin(kind) is dict and get_origin(get_args(kind)[0]) is Literal:  # a dict with all of these members
            names, value = get_args(kind)
            return record(**dict.fromkeys(get_args(names), self.of(value, answered=answered)))
        schema, components = components_of(kind, REFERENCE)
        for name, component in components.items():
            shape = whole(component) if answered else component
            if self.components.setdefault(name, shape) != shape:
                raise ValueError(f"two schemas are named {name}")
        return schema


def openapi(version: str, routes: Iterable[HttpRoute], address: str = "http://127.0.0.1:8002") -> dict[str, Any]:
    """Build the document for a server with these routes, reached at this address."""
    paths: dict[str, dict[str, Any]] = {}
    schemas = Schemas()
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
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
            "schemas": schemas.components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "query": {"type": "apiKey", "in": "query", "name": "session_token"},
            },
        },
    }


def _operation(route: HttpRoute, schemas: Schemas) -> dict[str, Any]:
    described = route.described
    operation: dict[str, Any] = {
        "operationId": route.endpoint,
        "summary": route.summary,
        "tags": [route.endpoint.partition(".")[0]],
        "responses": _responses(route, schemas),
    }
    query = {name: schemas.of(kind) for name, kind in described.get("query", {}).items()}
    headers = {name: schemas.of(kind) for name, kind in described.get("headers", {}).items()}
    parameters = [_parameter(name, "path", TEXT) for name in re.findall(r"{(\w+)}", route.path)]
    parameters += [_parameter(name, "query", schema) for name, schema in query.items() if name != "session_token"]
    parameters += [_parameter(name, "header", schema) for name, schema in headers.items()]
    if parameters:
        operation["parameters"] = parameters
    if "body" in described:
        content = {described.get("form", JSON): {"schema": schemas.of(described["body"])}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.token:
        operation["security"] = [{"bearer": []}, *([{"query": []}] if "session_token" in query else [])]
    return operation


def _parameter(name: str, where: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": schema}


def _responses(route: HttpRoute, schemas: Schemas) -> dict[str, Any]:
    described, kind, media = route.described, route.answer, route.described.get("media")
    content: dict[str, Any] = {}
    if media is not None:
        # AsyncAPI describes the events; readers of OpenAPI 3.1 disagree whether a schema here is of event or stream.
        content = {media: {"schema": TEXT if media.startswith("text/") and media != EVENT_STREAM else {}}}
    elif kind is not None:
        content = {JSON: {"schema": schemas.of(kind, answered=True)}}
    if "or_text" in described:
        content[described["or_text"]] = {"schema": TEXT}
    status = 204 if not content else described.get("status", 200)
    responses = {str(status): _response("Done.", content)}
    refusal = content if media == "text/html" else {JSON: {"schema": schemas.of(JsonObject)}}
    for other, text in described.get("also", {}).items():
        responses[str(other)] = _response(text, {} if other < HTTPStatus.BAD_REQUEST else refusal)
    errors: dict[int, list[str]] = {}
    # Every route refuses pages of other origins; every route with a token refuses missing and bad tokens.
    for code in dict.fromkeys(
        [*route.refusals, "forbidden", *(["unauthenticated", "token_expired"] if route.token else [])]
    ):
        errors.setdefault(ERRORS[code].http_status, []).append(code)
    for error_status, codes in sorted(errors.items()):
        named = ", ".join(f"`{code}`" for code in codes)
        error = {"$ref": REFERENCE.format(name="Error")}
        responses[str(error_status)] = _response(named, {JSON: {"schema": error}})
    return responses


def _response(description: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description} | ({"content": content} if content else {})
