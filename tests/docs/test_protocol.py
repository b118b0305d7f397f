"""The protocol reference against the vocabulary it describes."""

import attrs

from tests.docs.tables import code, table
from transport.connection.limits import Limits
from transport.wire.codes import CLOSES, ERRORS
from transport.wire.command_parser import COMMANDS
from transport.wire.commands import Say
from transport.wire.dialects import SUBPROTOCOLS, WIRE_NAMES, Dialect, negotiate
from transport.wire.events import EVENTS

PAGE = "reference/protocol.md"


def test_every_event_is_listed_with_its_fields() -> None:
    """Names, required and optional fields, and durability are those of transport/wire/events.py."""
    rows = {code(row["type"])[0]: row for row in table(PAGE, "Events")}
    assert list(rows) == list(EVENTS)
    for name, kind in EVENTS.items():
        wire = WIRE_NAMES.get(kind, {})
        named = [(wire.get(each.name, each.name), each.default is attrs.NOTHING) for each in attrs.fields(kind)]
        assert code(rows[name]["required in `data`"]) == [field for field, needed in named if needed]
        optional = [field for field, needed in named if not needed]
        assert code(rows[name]["optional"]) == optional
        durable = "with a run" if name == "error" else "yes" if kind.durable else "no"
        assert rows[name]["durable"] == durable


def test_every_error_code_is_listed_word_for_word() -> None:
    """Names, texts, retryability and HTTP statuses are those of transport/wire/codes.py."""
    rows = [
        (code(r["code"])[0], r["text"], r["retryable"] == "yes", int(r["HTTP"])) for r in table(PAGE, "Error codes")
    ]
    assert rows == [(each.name, each.text, each.retryable, each.http_status) for each in ERRORS.values()]


def test_every_close_code_is_listed_word_for_word() -> None:
    """Numbers, reasons, and whether a client may reconnect are those of transport/wire/codes.py."""
    rows = [(int(r["code"]), r["reason"], r["may reconnect"] == "yes") for r in table(PAGE, "Close codes")]
    assert rows == [(each.number, each.reason, each.reconnect) for each in CLOSES.values()]


def test_every_command_is_listed_with_its_fields() -> None:
    listed: dict[str, list[str]] = {}
    for row in table(PAGE, "Commands"):
        for name in code(row["`type`"]):
            listed[name] = code(row["fields"])
    listed.pop("type")  # "or no `type`": the form below the table
    assert set(listed) == set(COMMANDS)
    for name, kind in COMMANDS.items():
        fields = {each.name for each in attrs.fields(kind)}
        assert set(listed[name]) == (fields if name == "refresh" else fields - {"session_token"})
    assert COMMANDS["chat"] is Say


def test_dialects_and_endpoints_are_those_of_the_handshake() -> None:
    """Each path and subprotocol of the tables yields the stated dialect."""
    named = {"canonical": Dialect.CANONICAL, "payload": Dialect.PAYLOAD, "flat": Dialect.FLAT}
    named |= {"agent response": Dialect.AGENT_RESPONSE, "agent events": Dialect.AGENT_EVENTS}
    rows = {row["dialect"]: code(row["chosen by"]) for row in table(PAGE, "Dialects")}
    assert set(rows) == set(named)
    for name, ways in rows.items():
        for way in ways:
            if way.startswith("?dialect="):
                assert negotiate("/ws", (), {"dialect": way.partition("=")[2]}).dialect is named[name]
            elif way in SUBPROTOCOLS:
                assert SUBPROTOCOLS[way] is named[name]
    for row in table(PAGE, "Endpoints"):
        for path in code(row["path"]):
            if path.startswith("WS "):
                choice = negotiate(path.removeprefix("WS ").replace("{pillar}", "insights"), (), {})
                assert choice.deprecated == ("deprecated" in row["serves"])
                assert choice.dialect is next(d for n, d in named.items() if f"{n} dialect" in row["serves"])


def test_limits_are_settings() -> None:
    known = {each.name for each in attrs.fields(Limits)}
    named = {name for row in table(PAGE, "Limits") for name in code(row["setting"])}
    assert named == known
