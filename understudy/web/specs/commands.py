"""Schemas of commands, in every accepted form. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from transport.wire import command_parser
from transport.wire.command_parser import COMMANDS
from transport.wire.commands import Command, Decision, Rating, Say
from understudy.web.specs.shapes import COUNT, FLAG, OBJECT, TEXT, Schema, array_of, object_of, or_null

# What is not a control character, roughly what Python calls printable.
_NAME: Final[Schema] = {"type": "string", "maxLength": command_parser.MAX_NAME, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}
_ID: Final[Schema] = _NAME | {"minLength": 1, "pattern": r"^(?=.*\S)[^\x00-\x1f\x7f-\x9f]*$"}
_NOTE: Final[Schema] = {"type": "string", "maxLength": command_parser.MAX_NOTE}
_TOKEN: Final[Schema] = {"type": "string", "maxLength": command_parser.MAX_TOKEN}
_REFERENCE: Final[Schema] = {
    "anyOf": [
        _ID,
        object_of({"file_id": _ID}, ["file_id"]),
        object_of({"file_id": {"type": "null"}, "id": _ID}, ["id"]),
    ]
}
_WORDS: Final[Schema] = {"type": "string", "pattern": r"\S"}

FIELDS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "content": TEXT,
        **dict.fromkeys(
            ("thread_id", "message_id", "new_message_id", "parent_id", "request_id", "call_id", "conversation_id",
             "run_id", "id"),
            _ID,
        ),
        **dict.fromkeys(("nonce", "agent_type", "pillar"), _NAME),
        "decision": {"type": "string", "enum": [each.value for each in Decision]},
        "rating": {"type": "string", "enum": [each.value for each in Rating]},
        "note": _NOTE,
        "references": array_of(_REFERENCE, maxItems=command_parser.MAX_REFERENCES),
        **dict.fromkeys(("context", "settings"), OBJECT),
        "metadata": object_of({"file_id": or_null(_ID)}),
        "session_token": _TOKEN,
        "threads": {
            "type": "object", "propertyNames": _ID,
            "additionalProperties": COUNT, "maxProperties": command_parser.MAX_THREADS,
        },
        **dict.fromkeys(("batch", "chunk", "gzip", "html"), FLAG),
        "seq": COUNT,
        "index": COUNT,
        "count": {"type": "integer", "minimum": 1, "maximum": command_parser.MAX_CHUNKS},
        "data": TEXT,
    }
)  # fmt: skip
"""The schema of every field of a command: one for each check in `transport.wire.command_parser`."""

EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "user_message": {"content": "What is 15% of 80?", "thread_id": "t1", "message_id": "m1"},
        "start_agent": {"content": "Profile the attached table", "agent_type": "liaison", "pillar": "insights"},
        "message": {"content": "What is 15% of 80?"},
        "chat": {"content": "What is 15% of 80?"},
        "agent_message": {"content": "What is 15% of 80?", "agent_type": "guide"},
        "resume": {"threads": {"t1": 7}},
        "cancel": {"run_id": "45f7"},
        "approve": {"call_id": "e532", "decision": "allow", "note": "Only this once."},
        "edit": {"message_id": "m1", "content": "What is 16% of 80?"},
        "regenerate": {"message_id": "m1", "request_id": "again-1"},
        "feedback": {"message_id": "answer-45f7", "rating": "up"},
        "hello": {"batch": True, "html": True},
        "chunk": {"id": "7", "index": 0, "count": 2, "data": '{"type":"chat",'},
        "ack": {"thread_id": "t1", "seq": 7},
        "refresh": {"session_token": "header.claims.signature"},
        "typing": {"thread_id": "t1"},
        "ping": {"nonce": "n1"},
    }
)
RESPONSE_EXAMPLE: Final[Mapping[str, Any]] = MappingProxyType(
    {"agent_type": "liaison", "pillar": "insights", "message": "Profile the attached table", "conversation_id": "mine"}
)


def fields_schema(kind: type[Command]) -> Schema:
    """Build the schema of a command's fields. A field that is null counts as absent."""
    properties, required = {}, []
    for each in attrs.fields(kind):
        schema = FIELDS[each.name]
        if each.name == "content":
            schema = _WORDS
        if each.default is attrs.NOTHING:
            required.append(each.name)
        else:
            schema = or_null(schema)
        properties[each.name] = schema
    schema = object_of(properties, required)
    return schema | _LIAISON if kind is Say else schema


# With a text: anything else is refused already where the field's own schema stands.
_LIAISON: Final[Schema] = {
    "if": {"properties": {"agent_type": {"const": "liaison"}}, "required": ["agent_type"]},
    "then": {"properties": {"pillar": {"type": "string", "minLength": 1}}, "required": ["pillar"]},
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
