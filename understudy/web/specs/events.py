"""Schemas of events, in each dialect. Pure."""

import inspect
from collections.abc import Mapping
from typing import Any, Final

import attrs

from transport.wire.codes import ERRORS
from transport.wire.dialects import ALIASES, ANSWER_KINDS, PAYLOAD_NAMES, WIRE_NAMES, Dialect
from transport.wire.events import EVENTS, AgentError, Error, Event, FinalResponse, PartialResult
from understudy.web.specs.shapes import COUNT, ISO_TIME, TEXT, Schema, members_of, object_of, or_null

NAMES: Final = ("thread_id", "run_id", "message_id", "conversation_id", "agent_type")
"""Members of an envelope that are absent if they do not apply."""
AGENT: Final = object_of({"agent_type": TEXT, "pillar": or_null(TEXT)}, ["agent_type", "pillar"])
"""An agent by its wire names."""
OF_RUN: Final = ("thread_id", "run_id")
"""Members that every event of a run has."""


def data_schema(kind: type[Event]) -> Schema:
    """Build the schema of an event's own members. Members that are always present are required; no other is ever
    null."""
    hints, wire = members_of(kind), WIRE_NAMES.get(kind, {})
    properties, required = {}, []
    for each in attrs.fields(kind):
        schema = hints[each.name]
        if each.default is None:
            schema = _without_null(schema)
        elif (kind, each.name) != (PartialResult, "blocks"):  # sent only to who asked for rendered answers
            required.append(wire.get(each.name, each.name))
        properties[wire.get(each.name, each.name)] = schema
    if kind is FinalResponse:
        properties["html"] = TEXT
    if kind in (Error, AgentError):
        properties["code"] = {"type": "string", "enum": list(ERRORS)}
    return object_of(properties, required)


def _without_null(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), list):
        (kind,) = (each for each in schema["type"] if each != "null")
        return schema | {"type": kind}
    if "anyOf" in schema:
        (inner,) = (each for each in schema["anyOf"] if each != {"type": "null"})
        return dict(inner)
    return schema


def head_members(kind: type[Event]) -> tuple[dict[str, Schema], list[str]]:
    """Return the members of an event's envelope, and the names of those that are always present."""
    members: dict[str, Schema] = {"type": {"type": "string", "const": kind.type}}
    required = ["type", "pillar", "priority", "timestamp", "message"]
    if kind.durable:
        members["seq"] = {"type": "integer", "minimum": 1}
        if kind is not Error:  # one without a run is the answer to a command that was refused
            required += ["seq", *OF_RUN]
    members |= dict.fromkeys(NAMES, TEXT)
    members["pillar"] = or_null(TEXT)
    members["asked_agent"] = AGENT
    members["priority"] = {"type": "string", "const": kind.priority.value}
    members["timestamp"] = ISO_TIME
    members["message"] = TEXT
    return members, required


def frame_schema(kind: type[Event], dialect: Dialect) -> Schema:
    """Build the schema of a whole frame with an event, in any dialect but agent response, which has one schema for
    all."""
    members, required = head_members(kind)
    data = data_schema(kind)
    match dialect:
        case Dialect.CANONICAL | Dialect.PAYLOAD:
            name = "data" if dialect is Dialect.CANONICAL else "payload"
            if dialect is Dialect.PAYLOAD:
                more = {each: members[each] for each in PAYLOAD_NAMES} | {"agent_name": TEXT}
                aliases = {alias: data["properties"][field] for field, alias in ALIASES.get(kind, {}).items()}
                data = data | {"properties": more | aliases | data["properties"]}
            return object_of(members | {name: data}, [*required, name], description=about(kind))
        case Dialect.FLAT:
            own = {name: schema for name, schema in data["properties"].items() if name not in ("timestamp", "data")}
            if "data" in data["properties"]:
                own["details"] = data["properties"]["data"]
            needed = [name for name in data.get("required", []) if name not in ("timestamp", "data")]
            return object_of(members | own, list(dict.fromkeys([*required, *needed])), description=about(kind))
    raise ValueError(f"{dialect} has no frame of its own for each event")


def about(kind: Any) -> str:
    """Return the first paragraph of a class's docstring."""
    return (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")


def response_schema() -> Schema:
    """Build the schema of an agent response frame: always the same seven members, and one more for a delegate's
    answer."""
    members: Mapping[str, Schema] = {
        "agent_type": or_null(TEXT),
        "pillar": or_null(TEXT),
        "message": TEXT,
        "conversation_id": or_null(TEXT),
        "type": {
            "type": "string",
            "enum": ["message", "error", "visualization", *ANSWER_KINDS, "sanitization_summary", "alert"],
        },
        "data": {"type": ["object", "null"]},
        "visualization": {"type": ["object", "null"]},
    }
    refused = object_of(
        {"code": {"type": "string", "enum": list(ERRORS)}, "retryable": {"type": "boolean"}, "error_id": TEXT,
         "retry_after": {"type": "number"}},
        ["code", "retryable", "error_id"],
    )  # fmt: skip
    failed = {"if": {"properties": {"type": {"const": "error"}}}, "then": {"properties": {"data": refused}}}
    about_answers = "An answer, an error, an alert, or what was taken out."
    return object_of({**members, "answered_by": AGENT}, list(members), description=about_answers) | failed


def chunk_schema() -> Schema:
    """Build the schema of a part of a large frame, for clients with the capability `chunk`."""
    members = {
        "type": {"type": "string", "const": "chunk"},
        "id": TEXT,
        "index": COUNT,
        "count": {"type": "integer", "minimum": 1},
        "data": TEXT,
    }
    return object_of(members, list(members), description="A part of a large frame.")


def shown(dialect: Dialect) -> dict[str, Schema]:
    """Return the schema of every frame that a connection of a dialect may receive, by name."""
    if dialect is Dialect.AGENT_RESPONSE:
        return {"agent_response": response_schema()}
    return {name: frame_schema(kind, dialect) for name, kind in EVENTS.items()}
