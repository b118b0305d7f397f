"""Builds the JSON Schemas of commands and events from their classes. Pure."""

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from transport.wire.commands import Command
from transport.wire.dialects import wire_fields
from transport.wire.events import Error, Event
from transport.wire.json_schema import COUNT, FLAG, NUMBER, TEXT, Schema, members_of, object_of, one_of, or_null, record
from understudy.wire.codes import ERRORS
from understudy.wire.commands import CHECKS, COMMANDS, Approve, Respond, Say, Undo
from understudy.wire.dialects import ALIASES, ANSWER_KINDS, ANSWERS, PAYLOAD_NAMES, Dialect
from understudy.wire.events import EVENTS, AgentError, FinalResponse

ISO_TIME: Final[Schema] = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
}

_WORDS: Final[Schema] = {"type": "string", "pattern": r"\S"}
EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "user_message": {"content": "What is 15% of 80?", "thread_id": "t1", "message_id": "m1"},
        "start_agent": {"content": "Is the system healthy?", "agent_type": "liaison", "pillar": "operations"},
        "message": {"content": "What is 15% of 80?"},
        "chat": {"content": "What is 15% of 80?"},
        "agent_message": {"content": "What is 15% of 80?", "agent_type": "guide"},
        "resume": {"threads": {"t1": 7}},
        "cancel": {"run_id": "45f7"},
        "steer": {"run_id": "45f7", "content": "Only the last quarter.", "mode": "next", "steer_id": "s1"},
        "unsteer": {"run_id": "45f7", "steer_id": "s1"},
        "approve": {"call_id": "e532", "decision": "allow", "note": "Only this once."},
        "answer": {"question_id": "45f7.e532.1", "answer": {"city": "Ulm"}},
        "undo": {"call_id": "e532"},
        "disallow": {"thread_id": "t1", "tool_name": "send_mail"},
        "switch_server": {"thread_id": "t1", "server": "time", "on": False},
        "edit": {"message_id": "m1", "content": "What is 16% of 80?"},
        "regenerate": {"message_id": "m1", "request_id": "again-1"},
        "continue": {"run_id": "45f7"},
        "feedback": {"message_id": "answer-45f7", "rating": "up"},
        "hello": {"batch": True},
        "chunk": {"id": "7", "index": 0, "count": 2, "data": '{"type":"chat",'},
        "ack": {"thread_id": "t1", "seq": 7},
        "refresh": {"session_token": "header.claims.signature"},
        "typing": {"thread_id": "t1"},
        "ping": {"nonce": "n1"},
    }
)
RESPONSE_EXAMPLE: Final[Mapping[str, Any]] = MappingProxyType(
    {"agent_type": "liaison", "pillar": "operations", "message": "Is the system healthy?", "conversation_id": "mine"}
)


def fields_schema(kind: type[Command]) -> Schema:
    """Build the schema of a command's fields. A field that is null counts as absent."""
    properties, required = {}, []
    for field in attrs.fields(kind):
        schema = CHECKS[field.name].schema
        if field.name == "content":
            schema = _WORDS
        if field.default is attrs.NOTHING:
            required.append(field.name)
        else:
            schema = or_null(schema)
        properties[field.name] = schema
    schema = object_of(properties, required)
    return schema | _FURTHER.get(kind, {})


# These say "string" only: each field's own schema refuses other types already.
_LIAISON: Final[Schema] = {
    "if": {"properties": {"agent_type": {"const": "liaison"}}, "required": ["agent_type"]},
    "then": {"properties": {"pillar": {"type": "string", "minLength": 1}}, "required": ["pillar"]},
}
_EITHER: Final[Schema] = {
    "oneOf": [
        {"properties": {"answer": {"type": "object"}}, "required": ["answer"]},
        {"properties": {"decline": {"const": True}}, "required": ["decline"]},
    ]
}
_ONLY_ALLOWED: Final[Schema] = {
    "if": {"properties": {"decision": {"const": "deny"}}},
    "then": {
        "properties": {
            "parameters": {"anyOf": [{"type": "object", "maxProperties": 0}, {"type": "null"}]},
            "remember": {"anyOf": [{"const": False}, {"type": "null"}]},
        }
    },
}
_CALL_OR_RUN: Final[Schema] = {
    "oneOf": [
        {"properties": {"call_id": TEXT}, "required": ["call_id"]},
        {"properties": {"run_id": TEXT}, "required": ["run_id"]},
    ]
}
_FURTHER: Final[Mapping[type[Command], Schema]] = {
    Say: _LIAISON,
    Approve: _ONLY_ALLOWED,
    Respond: _EITHER,
    Undo: _CALL_OR_RUN,
}


def form_schema(name: str) -> Schema:
    """Build the schema of a command's two forms: its fields in `payload`, or beside `type`."""
    kind = COMMANDS[name]
    fields = fields_schema(kind)
    named: Schema = {"type": {"type": "string", "const": name}}
    beside = fields | {"properties": named | fields["properties"], "not": {"required": ["payload"]}}
    beside["required"] = ["type", *fields.get("required", [])]
    inside = _inside(named, fields)
    return {"anyOf": [inside, beside]}


def _inside(named: Schema, fields: Schema) -> Schema:
    """Build the schema of fields in `payload`. The token may stand beside `payload`, and is read there if absent
    inside."""
    token = fields["properties"].get("session_token", TEXT)
    if "session_token" not in fields.get("required", []):
        return object_of(named | {"payload": fields, "session_token": token}, ["type", "payload"])
    loose = fields | {"required": [], "properties": {"session_token": or_null(token)}}
    elsewhere = object_of(named | {"payload": loose, "session_token": token}, ["type", "payload", "session_token"])
    return {"anyOf": [object_of(named | {"payload": fields}, ["type", "payload"]), elsewhere]}


def response_form_schema() -> Schema:
    """Build the schema of `say` without a `type`, whose text is in `message`."""
    fields = fields_schema(Say)
    properties = {"message" if name == "content" else name: schema for name, schema in fields["properties"].items()}
    properties["type"] = {"type": "null"}
    return fields | {"properties": properties, "required": ["message"]}


def example_of(name: str) -> dict[str, Any]:
    """Return an example of a command, in the form with `payload`."""
    return {"type": name, "payload": dict(EXAMPLES[name])}


NAMES: Final = ("thread_id", "run_id", "message_id", "conversation_id", "agent_type")
"""Members of an envelope that are absent when they do not apply."""
AGENT: Final = record(agent_type=TEXT, pillar=or_null(TEXT))
"""An agent by its wire names."""
OF_RUN: Final = ("thread_id", "run_id")
"""Members that every event of a run has."""


def data_schema(kind: type[Event]) -> Schema:
    """Build the schema of an event's own members. Members that are always present are required; no other is ever
    null."""
    hints = members_of(kind)
    properties, required = {}, []
    for attribute, name, optional in wire_fields(kind):
        schema = hints[attribute]
        if optional:
            schema = _without_null(schema)
        else:
            required.append(name)
        properties[name] = schema
    if kind in (Error, AgentError):
        properties["code"] = one_of(ERRORS)
    return object_of(properties, required)


def _without_null(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), list):
        (kind,) = (name for name in schema["type"] if name != "null")
        return schema | {"type": kind}
    if "anyOf" in schema:
        (inner,) = (choice for choice in schema["anyOf"] if choice != {"type": "null"})
        return dict(inner)
    return schema


def head_members(kind: type[Event]) -> tuple[dict[str, Schema], list[str]]:
    """Return the members of an event's envelope, and the names of those that are always present."""
    members: dict[str, Schema] = {"type": {"type": "string", "const": kind.type}}
    required = ["type", "pillar", "priority", "timestamp", "message"]
    if kind.durable:
        members["seq"] = {"type": "integer", "minimum": 1}
        if kind is not Error:  # an error without a run answers a refused command, and has none of these
            required += ["seq", *OF_RUN]
    members |= dict.fromkeys(NAMES, TEXT)
    members["pillar"] = or_null(TEXT)
    members["asked_agent"] = AGENT
    members["priority"] = {"type": "string", "const": kind.priority.value}
    members["timestamp"] = ISO_TIME
    members["message"] = TEXT
    return members, required


def frame_schema(kind: type[Event], dialect: Dialect) -> Schema:
    """Build the schema of a whole frame with an event. Raises ValueError for the dialects agent response and agent
    events, which have one schema for all events."""
    members, required = head_members(kind)
    data = data_schema(kind)
    match dialect:
        case Dialect.CANONICAL | Dialect.PAYLOAD:
            name = "data" if dialect is Dialect.CANONICAL else "payload"
            if dialect is Dialect.PAYLOAD:
                more = {name: members[name] for name in PAYLOAD_NAMES} | {"agent_name": TEXT}
                aliases = {alias: data["properties"][field] for field, alias in ALIASES.get(kind, {}).items()}
                data = data | {"properties": more | aliases | data["properties"]}
            return object_of(members | {name: data}, [*required, name], description=about(kind))
        case Dialect.FLAT:
            fields = {name: schema for name, schema in data["properties"].items() if name not in ("timestamp", "data")}
            if "data" in data["properties"]:
                fields["details"] = data["properties"]["data"]
            needed = [name for name in data.get("required", []) if name not in ("timestamp", "data")]
            return object_of(members | fields, list(dict.fromkeys([*required, *needed])), description=about(kind))
    raise ValueError(f"{dialect} has no frame of its own for each event")


def about(kind: Any) -> str:
    """Return the first paragraph of a class's docstring."""
    return (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")


def response_schema(*, steps: bool) -> Schema:
    """Build the schema of an agent response frame: always the same seven members, and one more for a delegate's
    answer. `steps`: the dialect shows all other events too."""
    kinds = ["message", "visualization", *ANSWER_KINDS]
    kinds += [name for name, kind in EVENTS.items() if kind is not FinalResponse and (steps or kind in ANSWERS)]
    members: Mapping[str, Schema] = {
        "agent_type": or_null(TEXT),
        "pillar": or_null(TEXT),
        "message": TEXT,
        "conversation_id": or_null(TEXT),
        "type": one_of(kinds),
        "data": {"type": ["object", "null"]},
        "visualization": {"type": ["object", "null"]},
    }
    refused = record("retry_after", code=one_of(ERRORS), retryable=FLAG, error_id=TEXT, retry_after=NUMBER)
    failed = {"if": {"properties": {"type": {"const": "error"}}}, "then": {"properties": {"data": refused}}}
    about_answers = "An answer, an error, an alert, or what was taken out."
    if steps:
        about_answers = "An answer, or any other event."
    return object_of({**members, "answered_by": AGENT}, list(members), description=about_answers) | failed


def chunk_schema() -> Schema:
    """Build the schema of a part of a large frame, for clients with the capability `chunk`."""
    kind, count = {"type": "string", "const": "chunk"}, {"type": "integer", "minimum": 1}
    whole = record(type=kind, id=TEXT, index=COUNT, count=count, data=TEXT)
    return whole | {"description": "A part of a large frame."}


def shown(dialect: Dialect) -> dict[str, Schema]:
    """Return the schema of every frame that a connection of a dialect may receive, by name."""
    if dialect is Dialect.AGENT_RESPONSE:
        return {"agent_response": response_schema(steps=False)}
    if dialect is Dialect.AGENT_EVENTS:
        return {"agent_event": response_schema(steps=True)}
    return {name: frame_schema(kind, dialect) for name, kind in EVENTS.items()}
