"""The AsyncAPI document: its structure, and its schemas compared with golden frames and the parser."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.validators import Draft202012Validator

from tests.transport.golden import golden_path
from transport.wire.codes import CLOSES
from transport.wire.errors import CommandRejected
from understudy.extensions.references.asyncapi import RESPONSE_FORM, SOCKETS, asyncapi
from understudy.extensions.references.schemas import EXAMPLES
from understudy.storage.limits import Limits
from understudy.wire.codes import ERRORS
from understudy.wire.commands import CHECKS, COMMANDS
from understudy.wire.dialects import ENDPOINTS, Dialect
from understudy.wire.events import EVENTS
from understudy.wire.vocabulary import parse_frame

DOCUMENT = asyncapi("1.0", Limits())
MESSAGES = DOCUMENT["components"]["messages"]


def resolved(reference: str) -> Any:
    """Return the part of the document that a reference points at."""
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part.replace("~1", "/")]
    return node


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def valid(message: str, payload: Any) -> bool:
    """Whether a payload matches this message."""
    return bool(Draft7Validator(MESSAGES[message]["payload"]).is_valid(payload))


def test_the_document_has_the_structure_of_asyncapi_3() -> None:
    """The required members, allowed names, and references to parts of the right kind."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    assert not set(DOCUMENT) - {"asyncapi", "info", "servers", "defaultContentType", "channels", "operations",
                                "components"} - {name for name in DOCUMENT if name.startswith("x-")}  # fmt: skip
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
    for reference in references(DOCUMENT):
        assert resolved(reference)
    for name in [*DOCUMENT["servers"], *DOCUMENT["components"]["messages"], *DOCUMENT["components"]["securitySchemes"]]:
        assert re.fullmatch(r"[\w.\-]+", name)
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= set(server)
    for channel in DOCUMENT["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {}))
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])


def test_every_schema_is_a_schema() -> None:
    """AsyncAPI itself uses draft-07, OpenAPI uses 2020-12."""
    for draft in (Draft7Validator, Draft202012Validator):
        rules = draft(draft.META_SCHEMA)
        assert [name for name, message in MESSAGES.items() if not rules.is_valid(message["payload"])] == []


def test_nothing_of_the_vocabulary_is_missing() -> None:
    """Each command in each form, each event in each dialect, each code, each limit."""
    commands = {name.removeprefix("command.") for name in MESSAGES if name.startswith("command.")}
    assert commands == {*COMMANDS, RESPONSE_FORM}
    for dialect in (Dialect.CANONICAL, Dialect.FLAT, Dialect.PAYLOAD):
        assert {name for name in EVENTS if f"{dialect.value}.{name}" in MESSAGES} == set(EVENTS)
    assert [error["name"] for error in DOCUMENT["x-error-codes"]] == list(ERRORS)
    assert [close["number"] for close in DOCUMENT["x-close-codes"]] == list(CLOSES)
    assert set(DOCUMENT["x-limits"]) == {limit.name for limit in Limits.__attrs_attrs__}


def test_the_endpoints_are_those_of_the_handshake() -> None:
    """Each channel's path, with the query it names, negotiates the dialect of its messages."""
    for name, (path, _, default) in SOCKETS.items():
        assert ENDPOINTS.negotiate(path.replace("{pillar}", "insights"), (), {}).dialect is default
        for dialect in Dialect:
            channel = DOCUMENT["channels"][f"{name}.{dialect.value}"]
            query = channel["bindings"]["ws"]["query"]
            assert query["properties"]["dialect"]["const"] == dialect.value
            assert ("dialect" in query.get("required", [])) is (dialect is not default)
            assert all(key.startswith((f"{dialect.value}.", "command.", "chunk")) for key in channel["messages"])


def golden() -> Iterator[tuple[str, str, Any]]:
    """Yield each golden frame with its dialect and its message."""
    for dialect in Dialect:
        for name, frame in json.loads(golden_path(dialect).read_text("utf-8")).items():
            single_events = {Dialect.AGENT_RESPONSE: "agent_response", Dialect.AGENT_EVENTS: "agent_event"}
            kind = single_events.get(dialect, frame["type"])
            yield name, f"{dialect.value}.{kind}", frame


def test_every_golden_frame_is_what_the_document_says() -> None:
    count = 0
    for name, message, frame in golden():
        errors = [error.message for error in Draft7Validator(MESSAGES[message]["payload"]).iter_errors(frame)]
        assert not errors, (name, message, errors)
        count += 1
    assert count > 90


def test_only_durable_events_must_have_a_number_and_a_run() -> None:
    """In every dialect that shows them; an error may come without."""
    for _, message, frame in golden():
        kind = EVENTS.get(frame["type"])
        if kind is None or message.startswith("agent_"):
            continue
        for name in ("seq", "thread_id", "run_id"):
            without = {key: value for key, value in frame.items() if key != name}
            # Flat events have their own run_id in the same place as the envelope's.
            needed = kind.durable and frame["type"] != "error"
            assert valid(message, without) is not needed, (message, name)


def test_a_frame_that_was_changed_is_not() -> None:
    """A required member is removed, has another type, or a value that is not allowed."""
    changed = 0
    for _, message, frame in golden():
        schema = MESSAGES[message]["payload"]
        for broken in _mutations(frame, schema):
            assert not valid(message, broken), (message, broken)
            changed += 1
    assert changed > 1000


def _mutations(frame: dict[str, Any], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in schema.get("required", []):
        yield {key: value for key, value in frame.items() if key != name}
    for name, member in schema["properties"].items():
        if name not in frame or not member:
            continue
        if "const" in member or "enum" in member:
            yield frame | {name: "none of these"}
        if member.get("type") not in (None, "array"):
            yield frame | {name: [[1]]}
        if member.get("type") == "object" and "properties" in member:
            for inner in _mutations(frame[name], member):
                yield frame | {name: inner}


def forms(name: str, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a command with its fields in `payload`, beside `type`, and with unknown members."""
    yield {"type": name, "payload": fields}
    yield {"type": name, **fields}
    yield {"type": name, "payload": fields | {"of_tomorrow": 1}, "of_yesterday": None}
    yield {"type": name, "payload": fields, "session_token": "header.claims.signature"}


WRONG: dict[str, list[Any]] = {
    "content": [1, None, " \n", ""], "references": ["f", [1], [{}], [{"file_id": " "}], ["f"] * 101],
    "threads": [[], {"t": -1}, {"t": "1"}, {" ": 1}], "decision": ["maybe", 1], "rating": ["sideways"],
    "note": ["n" * 2001], "seq": [-1, "1", True], "index": [-1], "count": [0, 10_001], "data": [1],
    "session_token": [1, "t" * 8193],
}  # fmt: skip


def wrong_values(field: str) -> list[Any]:
    """Yield values that a field must refuse."""
    if field in WRONG:
        return WRONG[field]
    if CHECKS[field].schema.get("type") == "boolean":
        return ["yes", 1]
    if CHECKS[field].schema.get("type") == "object":
        return ["{}", []]
    return [1, [], "n" * 201, "a\nb", *([" "] if "minLength" in CHECKS[field].schema else [])]


def accepted(frame: Any) -> bool:
    """Whether the server's own parser accepts a frame."""
    try:
        parse_frame(json.dumps(frame))
    except CommandRejected:
        return False
    return True


@pytest.mark.parametrize("name", COMMANDS)
def test_the_document_and_the_parser_agree_on_commands(name: str) -> None:
    """Whatever is changed in an example of a command, both accept it or both refuse it."""
    example = dict(EXAMPLES[name])
    assert accepted({"type": name, "payload": example})
    variants = [example, *({key: value for key, value in example.items() if key != left_out} for left_out in example)]
    for field in [attribute.name for attribute in COMMANDS[name].__attrs_attrs__]:
        variants += [example | {field: value} for value in [*wrong_values(field), None]]
    for fields in variants:
        for frame in forms(name, copy.deepcopy(fields)):
            assert valid(f"command.{name}", frame) is accepted(frame), frame


def test_the_form_without_a_type_is_described() -> None:
    """Its text is called `message`; a liaison needs its pillar."""
    for frame in (
        {"agent_type": "guide", "message": "hello"}, {"agent_type": "guide"}, {"message": "hello"},
        {"agent_type": "liaison", "message": "hello"}, {"agent_type": "liaison", "pillar": "p", "message": "hello"},
        {"agent_type": "liaison", "pillar": "", "message": "hello"}, {"agent_type": "guide", "message": " "},
        {"agent_type": 1, "message": "hello"}, {"type": None, "agent_type": None, "message": "hello"},
    ):  # fmt: skip
        assert valid(f"command.{RESPONSE_FORM}", frame) is accepted(frame), frame


def test_the_examples_are_valid() -> None:
    """Each command has one, and it matches its schema."""
    for name, message in MESSAGES.items():
        for example in message.get("examples", []):
            assert valid(name, example["payload"])
        assert ("examples" in message) is name.startswith("command.")
