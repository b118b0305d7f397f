"""Decode frames: the whole vocabulary, and frames of older and newer servers."""

import gzip
import json
import tracemalloc
from contextlib import suppress
from functools import partial
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rigs.event_samples import SAMPLES
from transport.client import decoder
from transport.client.decoder import MAX_FRAME_BYTES, Received, UnknownEvent
from transport.wire.codec import encode
from transport.wire.commands import Chunk
from transport.wire.dialects import iso
from transport.wire.errors import UnreadableEvent
from transport.wire.events import Event
from understudy.wire.dialects import Dialect
from understudy.wire.events import EVENTS, Envelope, ToolCompleted, ToolStatus, Usage
from understudy.wire.vocabulary import VOCABULARY

read_event = partial(decoder.read_event, events=VOCABULARY.events)
read_frame = partial(decoder.read_frame, events=VOCABULARY.events)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = st.none() | st.text("abc-123", min_size=1, max_size=8)
NUMBER = st.floats(0, 4e9, allow_nan=False) | st.integers(0, 2**40).map(float)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
USAGE = st.builds(Usage, *[st.integers(0, 999)] * 3)
BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "parameters": OBJECT, "limits": OBJECT, "findings": st.lists(OBJECT, max_size=2).map(tuple), "result": JSON,
    "data": st.none() | OBJECT, "visualization": st.none() | OBJECT, "context": st.none() | OBJECT,
    "settings": st.none() | OBJECT, "references": st.lists(TEXT).map(tuple),
    "kinds": st.none() | st.dictionaries(TEXT, st.integers(0, 99), max_size=3),
    "capabilities": st.lists(TEXT).map(tuple), "counts": st.dictionaries(TEXT, st.integers(0, 99), max_size=3),
    "threads": st.dictionaries(TEXT, st.integers(0, 99), max_size=3),
    "items": st.lists(JSON, max_size=3).map(tuple),
    "schema": OBJECT, "answer": st.none() | OBJECT, "choices": st.none() | st.lists(OBJECT, max_size=2).map(tuple),
    "call_ids": st.lists(TEXT, max_size=3).map(tuple), "kept": st.none() | st.lists(TEXT, max_size=3).map(tuple),
    "calls": st.none() | st.lists(TEXT, max_size=3).map(tuple),
    "withheld": st.none() | st.lists(TEXT, max_size=3).map(tuple),
    "files": st.none() | st.lists(OBJECT, max_size=2).map(tuple), "widget": st.none() | OBJECT,
}  # fmt: skip
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT, int: st.integers(0, 2**40), float: NUMBER, bool: st.booleans(), Usage: USAGE,
    bool | None: st.none() | st.booleans(), Usage | None: st.none() | USAGE,
    str | None: st.none() | TEXT, float | None: st.none() | NUMBER, int | None: st.none() | st.integers(0, 2**40),
}  # fmt: skip


def any_event(kind: type[Event]) -> st.SearchStrategy[Event]:
    return st.builds(kind, **{field.name: any_value(kind, field) for field in attrs.fields(attrs.resolve_types(kind))})


def any_value(kind: type[Event], member: Any) -> st.SearchStrategy[Any]:
    """Values of a field, by its name, by its type, or one of an enumeration."""
    if member.name in BY_NAME and (kind.type, member.name) != ("agent_completed", "result"):
        return BY_NAME[member.name]
    return BY_TYPE[member.type] if member.type in BY_TYPE else st.sampled_from(list(member.type))


ENVELOPES = st.builds(
    Envelope,
    st.one_of([any_event(kind) for kind in EVENTS.values()]),
    st.floats(0, 4e9),
    st.none() | st.integers(1, 2**40),
    *[NAME] * 3,
    message=TEXT,
    **dict.fromkeys(("conversation_id", "agent_type", "pillar"), NAME),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(ENVELOPES)
def test_encoded_events_are_read_as_they_were(envelope: Envelope) -> None:
    """Each event of the vocabulary, whatever is in it; times to the millisecond."""
    frame = encode(envelope, Dialect.CANONICAL)
    assert frame is not None
    (received,) = read_frame(frame.decode())
    assert isinstance(received, Received)
    assert received.event == envelope.event
    assert type(received.event) is type(envelope.event)
    assert iso(received.timestamp) == iso(envelope.timestamp)
    for name in ("seq", "thread_id", "run_id", "message_id", "message"):
        assert getattr(received, name) == getattr(envelope, name)
    assert received.raw == json.loads(frame)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_read_with_what_is_added_for_some(name: str) -> None:
    """A member that the vocabulary has not, on the envelope or in the data, is left to `raw`."""
    frame = json.loads(encode(SAMPLES[name], Dialect.CANONICAL) or b"")
    frame["new"] = {"a": 1}
    frame["data"]["newer"] = [2]
    received = read_event(frame)
    assert received.event == SAMPLES[name].event
    assert received.type == SAMPLES[name].event.type
    assert (received.raw["new"], received.raw["data"]["newer"]) == ({"a": 1}, [2])


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("agent_dreaming", {"of": "sheep"}),
        ("tool_completed", {"status": "ok"}),
        ("approval_decided", {"call_id": "c", "decision": "later"}),
        ("resync", {"last_seq": "5"}),
        ("pong", {"nonce": 5}),
    ],
)
def test_an_event_of_another_version_is_unknown(kind: str, data: dict[str, Any]) -> None:
    """A new type, a new value, a field that is gone: it keeps its place and its data."""
    received = read_event({"type": kind, "seq": 4, "thread_id": "t", "data": data})
    assert received.event == UnknownEvent(kind, data)
    assert (received.type, received.seq, received.thread_id) == (kind, 4, "t")


def test_the_end_of_a_run_is_known_by_its_type() -> None:
    """Also where its data cannot be read; an error without a run is a refusal."""
    assert read_event({"type": "final_response", "data": {}}).terminal
    assert read_event({"type": "error", "run_id": "r", "data": {}}).terminal
    refusal = read_event({"type": "error", "message_id": "m"})
    assert (refusal.refusal, refusal.terminal) == (True, False)
    assert not read_event({"type": "agent_error", "run_id": "r", "data": {}}).terminal


@pytest.mark.parametrize(
    "frame",
    [
        "", "{", "nonsense", "5", "null", '"text"', "{}", "[5]", '{"type":5}', "[[]]", "[" * 200_000, '{"a":1e999}',
        '{"type":"ping","seq":"1"}', '{"type":"ping","seq":true}', '{"type":"ping","seq":0}',
        '{"type":"ping","seq":1.5}',
        '{"type":"ping","thread_id":5}', '{"type":"ping","run_id":["r"]}', '{"type":"chunk","id":"a","index":0}',
        '{"type":"chunk","id":"a","index":"0","count":1,"data":""}', b"", b"{}", b"\x1f\x8b",
        gzip.compress(b"{", mtime=0),
        gzip.compress(b'{"type":"ping"}', mtime=0)[:-1],
    ],
)  # fmt: skip
def test_malformed_events_are_refused(frame: str | bytes) -> None:
    with pytest.raises(UnreadableEvent):
        read_frame(frame)


@given(st.text(max_size=40) | st.binary(max_size=40) | JSON.map(json.dumps) | OBJECT.map(json.dumps))
def test_no_frame_breaks_the_reader(frame: str | bytes) -> None:
    with suppress(UnreadableEvent):
        assert all(isinstance(item, Received | Chunk) for item in read_frame(frame))


def test_batches_chunks_and_gzip() -> None:
    """An array gives several events, a binary frame is inflated, a chunk is a Chunk."""
    frames = [{"type": "ping"}, {"type": "chunk", "id": "7", "index": 0, "count": 2, "data": "x"}, {"type": "pong"}]
    ping, part, pong = read_frame(gzip.compress(msgspec.json.encode(frames)))
    assert part == Chunk("7", 0, 2, "x")
    assert isinstance(ping, Received)
    assert isinstance(pong, Received)
    assert (ping.type, pong.type) == ("ping", "pong")


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    """200 MB in a frame of 200 KB: not more than the bound is held."""
    bomb = gzip.compress(b" " * 200_000_000, 9)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableEvent):
            read_frame(bomb)
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_FRAME_BYTES
    finally:
        tracemalloc.stop()


def test_a_time_that_is_none_is_zero() -> None:
    assert read_event({"type": "ping"}).timestamp == 0.0
    assert read_event({"type": "ping", "timestamp": "noon"}).timestamp == 0.0
    assert read_event({"type": "ping", "timestamp": "1970-01-01T00:00:05"}).timestamp == 5.0


def test_the_text_of_a_user_is_not_printed() -> None:
    """Neither text nor data stands in the repr."""
    data = {"agent_id": "a", "call_id": "c", "tool_name": "t", "result": "secret", "result_summary": "secret",
            "status": "ok", "duration_ms": 1, "timestamp": 1}  # fmt: skip
    received = read_event({"type": "tool_completed", "message": "secret", "data": data})
    assert isinstance(received.event, ToolCompleted)
    assert received.event.status is ToolStatus.OK
    assert "secret" not in repr(received) + repr(read_event({"type": "new", "data": {"x": "secret"}}))
