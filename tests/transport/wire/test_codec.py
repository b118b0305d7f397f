import json
import tracemalloc

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.rigs.cpu import cpu_seconds
from tests.rigs.event_samples import SAMPLES, WHEN
from transport.wire import command_parser
from transport.wire.codec import EventEncoder, encode
from transport.wire.dialects import event_data
from transport.wire.errors import CommandRejected, UnreadableEvent
from understudy.wire import commands
from understudy.wire.codes import ERRORS
from understudy.wire.commands import Say
from understudy.wire.dialects import Dialect
from understudy.wire.events import AgentThinking, Envelope, FinalResponse, RunStatus, ToolCompleted, ToolStatus, Usage
from understudy.wire.vocabulary import from_log, parse_frame, to_log


def in_context(text: str) -> str:
    """A message that is good but for the JSON text in its context."""
    return f'{{"type":"message","content":"x","context":{{"a":{text}}}}}'


BAD = {
    "not json": ("{", "bad_json"),
    "nothing": ("", "bad_json"),
    "bad utf-8": (b'{"type":"\xff"}', "bad_json"),
    "half a character": ('{"type":"\ud800"}', "bad_json"),
    "half a character, escaped": ('{"type":"message","content":"\\ud800"}', "bad_json"),
    "not a number": ('{"type":"message","content":NaN}', "bad_json"),
    "infinite number": ('{"type":"message","content":"x","context":{"a":1e999}}', "bad_json"),
    "huge integer": (in_context(f"1{'0' * 30}"), "bad_json"),
    "endless integer": (in_context("9" * 6000), "bad_json"),
    "name twice": ('{"type":"message","content":"a","content":"b"}', "bad_json"),
    "name twice, deep": ('{"type":"message","content":"a","context":{"b":[{"c":1,"\\u0063":2}]}}', "bad_json"),
    "deep": ('{"type":"message","content":' + "[" * 5000 + "]" * 5000 + "}", "bad_json"),
    "deeper than any stack": ("[" * 200_000, "bad_json"),
    "deep, but not for the parser": (in_context("[" * 70 + "]" * 70), "bad_json"),
    "table": (in_context(f"[{','.join('0' * 20_000)}]"), "invalid_command"),
    "array": ("[1,2]", "invalid_command"),
    "number": ("5", "invalid_command"),
    "null": ("null", "invalid_command"),
    "empty object": ("{}", "invalid_command"),
    "type null": ('{"type":null}', "invalid_command"),
    "type not text": ('{"type":["message"]}', "invalid_command"),
    "unknown type": ('{"type":"dance"}', "unknown_type"),
    "empty": ('{"type":"message","content":""}', "empty_message"),
    "blank": ('{"type":"message","content":"  \\n"}', "empty_message"),
    "blank, by agent": ('{"agent_type":"guide","message":" "}', "empty_message"),
    "payload null": ('{"type":"user_message","payload":null}', "invalid_command"),
    "liaison without pillar": ('{"agent_type":"liaison","message":"hi"}', "pillar_required"),
    "liaison with null pillar": ('{"agent_type":"liaison","pillar":null,"message":"hi"}', "pillar_required"),
    "liaison with empty pillar": ('{"agent_type":"liaison","pillar":"","message":"hi"}', "pillar_required"),
    "liaison in a payload": (
        '{"type":"user_message","payload":{"content":"x","agent_type":"liaison"}}',
        "pillar_required",
    ),
}


@pytest.mark.parametrize(("frame", "code"), BAD.values(), ids=BAD)
def test_bad_frames_get_their_code(frame, code) -> None:
    """A frame that is no command is refused with the code a client can act on, and a plain sentence."""
    with pytest.raises(CommandRejected) as caught:
        parse_frame(frame)
    assert caught.value.code == code
    assert caught.value.code in ERRORS
    assert "Traceback" not in caught.value.message
    assert len(caught.value.message) < 200


def test_a_frame_has_a_bound_in_bytes() -> None:
    """`max_bytes` counts bytes, not characters, and is judged before anything is read."""
    frame = json.dumps({"type": "message", "content": "é" * 10}, ensure_ascii=False)
    size = len(frame.encode())
    assert isinstance(parse_frame(frame, max_bytes=size), Say)
    with pytest.raises(CommandRejected) as caught:
        parse_frame(frame, max_bytes=size - 1)
    assert caught.value.code == "message_too_large"
    with pytest.raises(CommandRejected):
        parse_frame("{" * 100, max_bytes=99)


def test_long_text_with_quotes_is_one_message() -> None:
    """Colons, commas and quotes inside text are text."""
    content = 'say: "a, b", {c: [d]} \\" ' * 5_000
    assert parse_frame(json.dumps({"type": "message", "content": content})) == Say(content)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELD_NAMES = st.sampled_from([*sorted(commands.CHECKS), "type", "payload", "message"])
FRAMES = st.dictionaries(
    FIELD_NAMES, JSON | st.sampled_from(sorted(commands.COMMANDS)) | st.dictionaries(FIELD_NAMES, JSON), max_size=6
)


def outcome(frame: str | bytes) -> object:
    """The command, or why there is none; anything else that is raised is a failure."""
    try:
        return parse_frame(frame)
    except CommandRejected as rejected:
        return rejected


@given(FRAMES)
def test_any_object_is_a_command_or_is_refused(frame) -> None:
    """No JSON object makes the parser fail in any other way than CommandRejected with a known code."""
    result = outcome(json.dumps(frame))
    if isinstance(result, CommandRejected):
        assert result.code in ERRORS
        assert result.message
    else:
        assert type(result) in commands.COMMANDS.values()


@given(st.binary(max_size=60) | st.text(max_size=60))
@example('{"a":1,"a":{}}')
def test_any_bytes_are_a_command_or_are_refused(frame) -> None:
    result = outcome(frame)
    assert isinstance(result, CommandRejected)
    assert result.code in ERRORS


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_names_are_counted_exactly(context) -> None:
    """An object in which every name stands once is never taken for one with a repeated name."""
    frame = json.dumps({"type": "message", "content": "x", "context": context})
    result = outcome(frame)
    if isinstance(result, CommandRejected):
        assert result.message == "A number in that JSON is too large."
    else:
        assert result == Say("x", context=context)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_log_gives_back_what_it_took(name) -> None:
    """An envelope comes back from the log equal, and is shown the same as when it was live."""
    envelope = SAMPLES[name]
    again = from_log(to_log(envelope))
    assert again == envelope
    for field in again.event.__attrs_attrs__:
        assert type(getattr(again.event, field.name)) is type(getattr(envelope.event, field.name))
    for dialect in Dialect:
        assert encode(again, dialect) == encode(envelope, dialect)


@pytest.mark.parametrize("name", SAMPLES)
def test_an_event_is_encoded_once_for_the_log_and_for_sockets(name) -> None:
    """The row is the frame, when the event happens and when it is read again; a changed copy is encoded anew."""
    envelope = SAMPLES[name].replace()
    row = to_log(envelope)
    again = from_log(row)
    canonical = EventEncoder(Dialect.CANONICAL)
    assert canonical(envelope) is canonical(again) is to_log(again) is row
    assert canonical.encode_all([envelope, again]) == [row, row]
    assert row == encode(SAMPLES[name], Dialect.CANONICAL)
    changed = again.replace(message="changed")
    assert json.loads(canonical(changed) or b"")["message"] == "changed"
    assert to_log(changed) != row


@given(st.floats(0, 4e9), JSON, st.text(), st.integers(1, 2**53))
def test_the_log_is_exact_but_for_the_time_of_the_envelope(timestamp, result, line, seq) -> None:
    """It is to the millisecond, as clients are shown it."""
    event = ToolCompleted("a", "c", "t", result, line, ToolStatus.KILLED, 0.1 + 0.2, timestamp)
    envelope = Envelope(event, timestamp, seq, "t", message=line)
    assert from_log(to_log(envelope)) == envelope.replace(timestamp=round(timestamp * 1000) / 1000)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"type":"dance","timestamp":"2026-11-20T06:00:00.124Z","message":"","data":null}',
        b'{"type":"alert","timestamp":"2026-11-20T06:00:00.124Z","message":"","data":{}}',
        b'{"type":"alert","timestamp":"2026-11-20T06:00:00.124Z","message":"","data":null}',
        b'{"type":["alert"],"timestamp":"2026-11-20T06:00:00.124Z","message":"","data":{}}',
        b"\xff",
        b'{"type":"agent_completed","timestamp":"2026-11-20T06:00:00.124Z","message":"","data":{"agent_id":"a","result":"","status":"odd","usage":{},"timestamp":1}}',
    ],
)
def test_a_damaged_log_is_one_error(body) -> None:
    with pytest.raises(UnreadableEvent):
        from_log(body)


def test_an_event_of_a_later_release_is_passed_on_as_it_is() -> None:
    """The log has it again, and every dialect that shows steps has its type and data."""
    head = b'{"type":"dance","seq":4,"thread_id":"t","pillar":null,"priority":"normal",'
    body = head + b'"timestamp":"2026-11-20T06:00:00.124Z","message":"x","data":{"steps":[1,null]}}'
    envelope = from_log(body)
    assert to_log(envelope) == body
    for dialect in set(Dialect) - {Dialect.AGENT_RESPONSE}:
        frame = json.loads(encode(envelope, dialect) or b"")
        assert frame["type"] == "dance"
        assert "[1, null]" in json.dumps(frame)
    assert encode(envelope, Dialect.AGENT_RESPONSE) is None


def test_half_a_character_does_not_stop_an_event() -> None:
    """Text that a model cut inside a character is shown with a replacement mark, and the log takes it."""
    event = ToolCompleted("a", "c", "t", {"x\ud83d": ["ok \ud83d", 5]}, "\udc00", ToolStatus.OK, 1.0, WHEN)
    envelope = Envelope(event, WHEN, 1, "t")
    data = json.loads(encode(envelope, Dialect.CANONICAL) or b"")["data"]
    assert (data["result"], data["result_summary"], data["status"]) == ({"x�": ["ok �", 5]}, "�", "ok")
    assert from_log(to_log(envelope)).event.result == {"x�": ["ok �", 5]}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_fields_of_an_event_are_those_of_its_data(name: str) -> None:
    envelope = SAMPLES[name]
    shown, logged = (
        json.loads(frame or b"")["data"] for frame in (encode(envelope, Dialect.CANONICAL), to_log(envelope))
    )
    plain = json.loads(msgspec.json.encode(event_data(envelope.event), enc_hook=dict))
    assert shown == plain
    assert logged.keys() == plain.keys()


def test_half_a_character_in_an_event_with_optional_fields() -> None:
    """The same members are omitted, in the frame and in its data."""
    halved, whole = (
        json.loads(encode(Envelope(AgentThinking("guide", text, 1.0), WHEN, 3), Dialect.CANONICAL) or b"")
        for text in ("\ud800", "\ufffd")
    )
    assert halved == whole
    assert "notice" not in halved["data"]


def test_half_a_character_beside_attrs_values() -> None:
    """The replacement reaches through nested values of every kind."""
    broken = FinalResponse("cut \ud83d", RunStatus.SUCCESS, Usage(1, 2, 3))
    data = json.loads(encode(Envelope(broken, WHEN), Dialect.CANONICAL) or b"")["data"]
    assert (data["message"], data["usage"]["input"]) == ("cut �", 1)


@pytest.mark.parametrize("dialect", Dialect)
def test_events_encoded_together_are_those_encoded_alone(dialect: Dialect) -> None:
    """Every kind of event, those that a dialect hides, and one with half a character among others."""
    encode = EventEncoder(dialect)
    events = list(SAMPLES.values())
    assert encode.encode_all(events) == [encode(event) for event in events]
    half = Envelope(AgentThinking("guide", "\ud800", 1.0), 1.0, seq=1, thread_id="t", message="\ud800")
    assert encode.encode_all([*events, half]) == [encode(event) for event in [*events, half]]
    wrap = EventEncoder(dialect, lambda envelope, frame: envelope.event.type.encode() + frame)
    assert wrap.encode_all(events) == [wrap(event) for event in events]


def test_values_beyond_json_are_refused() -> None:
    """A tool's result that is no JSON is the tool's fault, and said so before anything is stored."""
    event = ToolCompleted("a", "c", "t", object(), "", ToolStatus.OK, 1.0, WHEN)
    with pytest.raises(TypeError, match="cannot hold a object"):
        to_log(Envelope(event, WHEN))


def test_frames_are_compact_json() -> None:
    frame = encode(SAMPLES["tool_executing"], Dialect.CANONICAL)
    assert frame == msgspec.json.encode(msgspec.json.decode(frame or b""))


def test_nesting_is_taken_up_to_the_bound() -> None:
    inside = command_parser.MAX_DEPTH - 2
    assert isinstance(outcome(in_context("[" * inside + "]" * inside)), Say)
    assert isinstance(outcome(in_context("[" * (inside + 1) + "]" * (inside + 1))), CommandRejected)


@pytest.mark.parametrize(
    "bomb",
    [
        b"[" + b"[]," * 600_000 + b"[]]",
        b"[" + b'"a",' * 500_000 + b'"a"]',
        b'{"a":[' + b"{}," * 600_000 + b"{}]}",
        b'"' * 2_000_000,
    ],
    ids=["lists", "strings", "objects", "quotes"],
)
def test_too_many_values_are_refused_before_they_are_made(bomb) -> None:
    """The peak of memory is a small multiple of the frame."""
    tracemalloc.start()
    try:
        with pytest.raises(CommandRejected) as refused:
            parse_frame(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.code == "invalid_command"
    assert peak < 3 * len(bomb) + 8_000_000


@pytest.mark.parametrize(
    "text",
    [b'"' + b'\\"' * 100_000 + b"\\", b'\\"' * 100_000 + b"\\", b'"' + b"\\" * 200_001],
    ids=["in a string", "outside", "backslashes"],
)
def test_text_without_an_end_takes_linear_time(text) -> None:
    def refuse() -> None:
        with pytest.raises(CommandRejected):
            parse_frame(text)

    assert cpu_seconds(refuse, 2.0) < 2.0
