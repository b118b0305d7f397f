import json
from typing import Any, ClassVar

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from tests.rigs.event_samples import SAMPLES, WHEN
from tests.transport.golden import golden_path, golden_text
from transport.wire.codec import encode
from transport.wire.dialects import Negotiated, iso
from transport.wire.errors import UnknownEndpoint
from transport.wire.events import Error, Event
from understudy.wire.dialects import ANSWERS, ENDPOINTS, OF_CONNECTION, Dialect
from understudy.wire.events import (
    EVENTS,
    AgentCompleted,
    AgentHandoff,
    ApprovalRequired,
    AskedAgent,
    Envelope,
    FinalResponse,
    RunStatus,
    ToolExecuting,
    Usage,
)
from understudy.wire.vocabulary import from_log, to_log

E = Dialect.AGENT_EVENTS
C, F, P, A = Dialect.CANONICAL, Dialect.FLAT, Dialect.PAYLOAD, Dialect.AGENT_RESPONSE


def result(kind: str) -> dict:
    return {"tool_name": "t", "result": 1, "kind": kind}


def shown(envelope: Envelope, dialect: Dialect) -> dict:
    return json.loads(encode(envelope, dialect) or b"null")


@pytest.mark.parametrize("dialect", Dialect)
def test_golden(dialect) -> None:
    """Every sample looks as its golden file says, member by member in the same order.

    After a wanted change: `python -m tests.transport.golden --write`, and read the difference.
    """
    assert golden_text(dialect) == golden_path(dialect).read_text("utf-8")


def test_the_canonical_event_is_the_published_example() -> None:
    event = ToolExecuting("guide-1", "c-1", "query_table", {"table": "orders"}, "Counts", 1795154400.123)
    of_agent: dict[str, Any] = {"conversation_id": "guide_s", "agent_type": "guide", "message": "Counting rows"}
    envelope = Envelope(event, 1795154400.123, 7, "t", "r", "m", pillar=None, **of_agent)
    assert encode(envelope, C) == (
        b'{"type":"tool_executing","seq":7,"thread_id":"t","run_id":"r","message_id":"m",'
        b'"conversation_id":"guide_s","agent_type":"guide","pillar":null,"priority":"normal",'
        b'"timestamp":"2026-11-20T06:00:00.123Z","message":"Counting rows","data":{"agent_id":"guide-1",'
        b'"call_id":"c-1","description":"Counts","parameters":{"table":"orders"},"timestamp":1795154400.123,'
        b'"tool_name":"query_table"}}'
    )


def test_absent_fields_are_left_out_but_pillar() -> None:
    """An event outside any thread has no null members but `pillar`."""
    frame = shown(SAMPLES["alert"], C)
    assert list(frame) == ["type", "pillar", "priority", "timestamp", "message", "data"]
    assert frame["pillar"] is None


def test_a_required_field_is_shown_even_when_null() -> None:
    assert shown(SAMPLES["tool_completed without result"], C)["data"]["result"] is None


@pytest.mark.parametrize("dialect", [C, F, P])
def test_a_handoff_says_from_and_to(dialect) -> None:
    frame = shown(Envelope(AgentHandoff("a", "b", "why"), WHEN), dialect)
    body = frame if dialect is F else frame["data" if dialect is C else "payload"]
    assert (body["from"], body["to"], body["reason"]) == ("a", "b", "why")
    assert "from_agent" not in json.dumps(frame)


def names_inside(envelope: Envelope) -> dict:
    """The members of `payload` that are not the event's: names of its envelope, and fields under a second name."""
    event = envelope.event
    names = {name: getattr(envelope, name) for name in ("thread_id", "run_id", "message_id", "agent_type")}
    names["agent_name"] = envelope.pillar or envelope.agent_type
    match event:
        case ToolExecuting() | ApprovalRequired():
            names["tool_args"] = event.parameters
        case AgentCompleted(result=text) | FinalResponse(message=text):
            names["agent_response"] = text
    return {name: value for name, value in names.items() if value is not None and not hasattr(event, name)}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_dialects_tell_the_same(name) -> None:
    """Payload is canonical under another name, with more names in it; flat has every field, and no member `data`."""
    canonical, payload, flat = (shown(SAMPLES[name], dialect) for dialect in (C, P, F))
    data = canonical.pop("data")
    inside = payload.pop("payload")
    assert {name: inside[name] for name in data} == data
    assert {name: inside[name] for name in inside.keys() - data.keys()} == names_inside(SAMPLES[name])
    assert payload == canonical
    if "data" in data:
        data["details"] = data.pop("data")
    data.pop("timestamp", None)
    if name == "agent_completed":
        data["message"] = data["result"]
    if name == "steer_withdrawn":
        del canonical["message_id"]  # the envelope's is the run's message, the event's would be that of the steer
    assert flat == {**canonical, **data}
    assert "data" not in flat


@pytest.mark.parametrize("name", SAMPLES)
def test_agent_response_shows_answers_and_what_concerns_them_only(name) -> None:
    """One object each, with the same seven members always; anything else is not sent at all."""
    frame = encode(SAMPLES[name], A)
    if not isinstance(SAMPLES[name].event, ANSWERS):
        assert frame is None
        return
    delegated = ["answered_by"] if SAMPLES[name].asked_agent is not None else []
    members = ["agent_type", "pillar", "message", "conversation_id", "type", "data", "visualization"]
    assert list(json.loads(frame or b"")) == members + delegated


@pytest.mark.parametrize(
    ("data", "visualization", "kind"),
    [
        (None, None, "message"),
        ({}, None, "message"),
        ({"note": "x"}, None, "message"),
        ({"results": []}, None, "message"),
        ({"results": [{"tool_name": "t", "result": 1}]}, None, "message"),
        ({"results": [result("analysis")]}, None, "analysis"),
        ({"results": [{"tool_name": "t", "result": 1}, result("analysis")]}, None, "analysis"),
        ({"results": [result("analysis"), result("drill_down")]}, None, "drill_down"),
        (None, {"spec": {}}, "visualization"),
        ({"results": [result("drill_down")]}, {"spec": {}}, "visualization"),
    ],
)
def test_the_kind_of_an_answer(data, visualization, kind) -> None:
    """A chart makes an answer a visualization; else a result of a kind gives it that kind, details before figures."""
    event = FinalResponse("m", RunStatus.SUCCESS, Usage(), data, visualization)
    frame = shown(Envelope(event, WHEN, agent_type="liaison", pillar="insights", conversation_id="c"), A)
    of_agent = {"agent_type": "liaison", "pillar": "insights", "message": "m", "conversation_id": "c"}
    assert frame == {**of_agent, "type": kind, "data": data, "visualization": visualization}


def test_an_agent_response_error_says_what_to_do() -> None:
    """The sentence stands in `message`, the code for programs in `data`; also outside a run."""
    envelope = Envelope(Error("rate_limited", "Wait a moment.", True, "e-1", 0.5), WHEN)
    assert shown(envelope, A) == {
        "agent_type": None,
        "pillar": None,
        "message": "Wait a moment.",
        "conversation_id": None,
        "type": "error",
        "data": {"kind": "error", "code": "rate_limited", "retryable": True, "error_id": "e-1", "retry_after": 0.5},
        "visualization": None,
    }


@frozen
class Added(Event):
    """An event that a later version adds."""

    type: ClassVar[str] = "added"
    note: str


@pytest.mark.promise("wire.dialect-agent-events")
@pytest.mark.parametrize("name", SAMPLES)
def test_every_event_has_its_form_in_every_dialect(name) -> None:
    """An event is an answer, of the connection, or a step of a run, which decides who is sent it."""
    envelope = SAMPLES[name]
    event = envelope.event
    sent = {dialect for dialect in Dialect if encode(envelope, dialect) is not None}
    assert sent == set(Dialect) - (set() if isinstance(event, ANSWERS) else {A})
    if isinstance(event, FinalResponse):
        assert shown(envelope, E) == shown(envelope, A)
    elif not isinstance(event, Error):
        assert shown(envelope, E)["type"] == event.type
        assert list(shown(envelope, E))[:7] == list(shown(SAMPLES["alert"], A))


def test_an_event_of_a_later_version_is_a_step_of_its_run() -> None:
    """It needs no entry in any dialect: all show it but agent response."""
    added = Envelope(Added("n"), WHEN, 3, "t", "run", "m", agent_type="liaison", pillar="insights", message="Added")
    assert [shown(added, dialect)["type"] for dialect in (C, P, F, E)] == ["added"] * 4
    assert shown(added, E)["data"] == {"note": "n"}
    assert encode(added, A) is None


def test_no_event_has_two_roles() -> None:
    assert not set(ANSWERS) & set(OF_CONNECTION)
    assert set(ANSWERS) | set(OF_CONNECTION) <= set(EVENTS.values())


def test_an_answer_of_another_agent_is_under_the_name_of_the_one_that_was_asked() -> None:
    """In agent responses with `answered_by` beside; elsewhere the speaker is named, and `asked_agent` beside."""
    event = FinalResponse("m", RunStatus.SUCCESS, Usage())
    envelope = Envelope(event, WHEN, agent_type="liaison", pillar="insights", asked_agent=AskedAgent("guide"))
    guide, insights = {"agent_type": "guide", "pillar": None}, {"agent_type": "liaison", "pillar": "insights"}
    for dialect in (A, E):
        frame = shown(envelope, dialect)
        assert ({name: frame[name] for name in guide}, frame["answered_by"]) == (guide, insights)
        assert frame["data"] == {"answered_by": insights}
    for dialect in (C, P, F):
        frame = shown(envelope, dialect)
        assert ({name: frame[name] for name in guide}, frame["asked_agent"]) == (insights, guide)
    assert from_log(to_log(envelope)) == envelope


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1795154400.123, "2026-11-20T06:00:00.123Z"),
        (1795154400.9994, "2026-11-20T06:00:00.999Z"),
        (1795154400.9996, "2026-11-20T06:00:01.000Z"),
        (1795154459.9999, "2026-11-20T06:01:00.000Z"),
    ],
)
def test_times_are_utc_with_milliseconds(timestamp, text) -> None:
    """A time is rounded to the nearest millisecond, and carries over."""
    assert iso(timestamp) == text


@given(st.integers(0, 4_000_000_000_000))
def test_times_keep_their_millisecond(thousandths) -> None:
    assert iso(thousandths / 1000).endswith(f".{thousandths % 1000:03d}Z")


CHOICES = [
    ("/ws", [], {}, Negotiated(C)),
    ("/ws/", [], {}, Negotiated(C)),
    ("/api/ws/agent", [], {}, Negotiated(A)),
    ("/ws", [], {"dialect": "flat"}, Negotiated(F)),
    ("/ws", [], {"dialect": "payload"}, Negotiated(P)),
    ("/api/ws/agent", [], {"dialect": "canonical"}, Negotiated(C)),
    ("/ws", [], {"dialect": "agent_response"}, Negotiated(A)),
    ("/ws", [], {"dialect": "klingon"}, Negotiated(C)),
    ("/api/ws/agent", [], {"dialect": "agent_events"}, Negotiated(E)),
    ("/api/ws/agent", ["understudy.agent_events"], {}, Negotiated(E, "understudy.agent_events")),
    ("/ws", ["understudy.flat"], {}, Negotiated(F, "understudy.flat")),
    ("/ws", ["understudy.flat"], {"dialect": "payload"}, Negotiated(F, "understudy.flat")),
    ("/api/ws/agent", ["understudy.v1"], {}, Negotiated(C, "understudy.v1")),
    ("/ws", ["chat", "understudy.payload", "understudy.v1"], {}, Negotiated(P, "understudy.payload")),
    ("/ws", ["chat"], {}, Negotiated(C)),
    ("/ws", ["jwt.a.b.c"], {}, Negotiated(C, "jwt.a.b.c")),
    ("/api/ws/agent", ["jwt.a.b.c"], {"dialect": "flat"}, Negotiated(F, "jwt.a.b.c")),
    ("/ws", ["jwt.a.b.c", "understudy.v1"], {}, Negotiated(C, "understudy.v1")),
    ("/ws", ["understudy.v1", "jwt.a.b.c"], {}, Negotiated(C, "understudy.v1")),
]


@pytest.mark.parametrize(("path", "subprotocols", "query", "choice"), CHOICES)
def test_choice(path, subprotocols, query, choice) -> None:
    assert ENDPOINTS.negotiate(path, subprotocols, query) == choice


@pytest.mark.parametrize("path", ["", "/", "/wsx", "/api/ws", "/api/ws/oracle", "/api/ws/agent/a", "ws"])
def test_no_socket_elsewhere(path) -> None:
    with pytest.raises(UnknownEndpoint):
        ENDPOINTS.negotiate(path, [], {})
