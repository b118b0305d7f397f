"""The sans-IO WebSocket: turns, faults, messages, frame heads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.protocol import State

from tests.rigs.memory import kept_bytes
from tests.rigs.raw_websocket import BINARY, CONT, PING, PONG, TEXT, close, frame
from transport.server.websocket import (
    FRAMES_PER_FEED,
    Message,
    ServerSideProtocol,
    frame_boundary,
    frame_head,
)
from transport.server.websocket import TEXT as TEXT_HEAD
from transport.wire.errors import CommandRejected


def drained(protocol: ServerSideProtocol, data: bytes) -> list[Message | CommandRejected]:
    messages = [protocol.feed(data)]
    while protocol.has_buffered:
        messages.append(protocol.feed())
    return [message for message in messages if message is not None]


def code(protocol: ServerSideProtocol) -> int | None:
    """The code of the close frame that was sent; None while the socket is open."""
    assert (protocol.close_sent is None) == (protocol.state is State.OPEN)
    return None if protocol.close_sent is None else int(protocol.close_sent.code)


def test_a_turn_ends_with_a_message() -> None:
    """Bytes behind a message stay buffered until the next `feed`."""
    protocol = ServerSideProtocol(100, 1000)
    assert protocol.feed(frame(TEXT, b"one") + frame(PING, b"p") + frame(BINARY, b"two") + frame(3)) == "one"
    assert protocol.has_buffered
    assert not protocol.mid_message
    assert protocol.data_to_send() == []
    assert protocol.feed() == b"two"
    assert protocol.data_to_send() == [b"\x8a\x01p"]
    assert code(protocol) is None
    assert protocol.feed() is None
    assert not protocol.has_buffered
    assert code(protocol) == 1002


@pytest.mark.parametrize("data", [frame(PING), frame(PONG), frame(CONT, b"", fin=False)], ids=["ping", "pong", "part"])
def test_a_turn_has_so_many_frames(data: bytes) -> None:
    protocol = ServerSideProtocol(100, 1000)
    protocol.feed(frame(TEXT, b"", fin=False))
    assert protocol.feed(data * (2 * FRAMES_PER_FEED)) is None
    assert len(protocol.reader.buffer) == FRAMES_PER_FEED * len(data)
    assert len(protocol.data_to_send()) in (0, FRAMES_PER_FEED)
    assert protocol.has_buffered
    protocol.feed()
    assert not protocol.reader.buffer
    assert not protocol.has_buffered
    assert FRAMES_PER_FEED <= 100, "ten microseconds a frame, and a millisecond for a turn"


def test_a_message_is_begun_from_its_first_byte_on() -> None:
    """Any part of a frame counts, also a head that came to its very end; a whole message does not."""
    for size in range(1, len(frame(TEXT, b"hello"))):
        protocol = ServerSideProtocol(100, 1000)
        assert not protocol.mid_message
        protocol.feed(frame(TEXT, b"hello")[:size])
        assert protocol.mid_message
    protocol = ServerSideProtocol(100, 1000)
    protocol.feed(frame(TEXT, b"hello"))
    assert not protocol.mid_message
    protocol.feed(frame(TEXT, b"", fin=False))
    assert protocol.mid_message


@pytest.mark.parametrize("length", [0, 1, 125, 126, 400, 401, 1000, 1001, 65_535, 65_536])
@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_a_message_in_one_read_is_taken_as_in_pieces(kind: int, length: int) -> None:
    """Of every length, up to the two bounds and beyond, with a mask, and another message behind it."""
    for message_bytes, bound_bytes in ((400, 1000), (70_000, 80_000)):
        data = frame(kind, b"m" * length, mask=b"\x01\x82\x03\xf4")
        whole, other = (ServerSideProtocol(message_bytes, bound_bytes) for _ in range(2))
        at_once, size = drained(whole, data), 1 + length // 50
        pieces = [events for at in range(0, len(data), size) for events in drained(other, data[at : at + size])]
        expected = [b"m" * length if kind == BINARY else "m" * length]
        if length > message_bytes:
            expected = ["message_too_large"] if length <= bound_bytes else []
        for events in (at_once, pieces):
            assert [getattr(message, "code", message) for message in events] == expected
        assert code(whole) == code(other) == (1009 if length > bound_bytes else None)
        if length <= bound_bytes:
            assert drained(whole, frame(TEXT, b"next")) == ["next"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x81\x02hi", 1002),
        (b"\xc1\x82\0\0\0\0hi", 1002),
        (b"\x83\x82\0\0\0\0hi", 1002),
        (b"\x80\x82\0\0\0\0hi", 1002),
        (frame(TEXT, b"\xff"), 1007),
    ],
    ids=["unmasked", "reserved bit", "unknown kind", "nothing to continue", "not UTF-8"],
)
def test_a_faulty_frame_in_one_read_closes(data: bytes, status: int) -> None:
    protocol = ServerSideProtocol(100, 1000)
    assert protocol.feed(frame(TEXT, b"one")) == "one"
    assert protocol.feed(data) is None
    assert code(protocol) == status


def test_between_frames_there_is_no_parser() -> None:
    """An idle connection would keep its generators: half a kilobyte. One is there in the middle of a frame only."""
    protocol = ServerSideProtocol(100, 1000)
    empty = protocol.parser
    for data in (frame(TEXT, b"one"), frame(PING, b"p"), frame(TEXT, b"o", fin=False) + frame(CONT, b"ne")):
        protocol.feed(data[:3])
        assert protocol.parser is not empty
        protocol.feed(data[3:])
        assert protocol.parser is empty
        protocol.feed(data)
        assert protocol.parser is empty


def test_text_fails_with_the_byte_that_makes_it_so() -> None:
    """In the middle of a frame, across masks and fragments; not a byte sooner."""
    for head in (b"", "ünï".encode(), b"xy"):
        protocol = ServerSideProtocol(100, 1000)
        protocol.feed(frame(TEXT, head + b"\xf4", fin=False))
        whole = frame(CONT, b"\x8f\xbf\xbf" + head + b"\xf4\x90more", mask=b"abcd")
        fatal = len(whole) - len(b"\x90more")
        for at in range(fatal):
            protocol.feed(whole[at : at + 1])
            assert code(protocol) is None
        protocol.feed(whole[fatal : fatal + 1])
        assert code(protocol) == 1007


def test_a_large_text_is_not_looked_at() -> None:
    protocol = ServerSideProtocol(10, 1000)
    (rejected,) = drained(protocol, frame(TEXT, b"\xff" * 11)[:-1]) + drained(protocol, b"\xff")
    assert isinstance(rejected, CommandRejected)
    assert code(protocol) is None


def test_a_close_between_fragments_is_a_close() -> None:
    protocol = ServerSideProtocol(100, 1000)
    assert drained(protocol, frame(TEXT, b"one", fin=False) + close(4001) + frame(CONT, b"two")) == []
    assert code(protocol) == 4001


def test_fragments_cost_what_they_hold() -> None:
    """Ten thousand empty ones, and one byte each: no more is kept than the bytes."""
    protocol = ServerSideProtocol(1000, 2000)
    with kept_bytes() as left:
        drained(protocol, frame(TEXT, b"", fin=False))
        for _ in range(10):
            drained(protocol, frame(CONT, b"", fin=False, mask=b"abcd") * 1000)
        drained(protocol, frame(CONT, b"x", fin=False) * 900)
    assert left.size < 10_000
    assert drained(protocol, frame(CONT)) == ["x" * 900]


PIECES = st.one_of(
    st.builds(lambda text: frame(TEXT, text.encode()), st.text(max_size=40)),
    st.builds(lambda data: frame(BINARY, data), st.binary(max_size=300)),
    st.builds(lambda data: frame(PING, data), st.binary(max_size=125)),
    st.builds(
        lambda parts: b"".join(
            frame(CONT if number else TEXT, part.encode(), fin=number == len(parts) - 1)
            for number, part in enumerate(parts)
        ),
        st.lists(st.text(max_size=8), min_size=1, max_size=5),
    ),
)


@given(st.lists(PIECES, max_size=6), st.lists(st.integers(1, 60), min_size=1))
def test_the_pieces_it_comes_in_do_not_matter(pieces: list[bytes], sizes: list[int]) -> None:
    """The same messages and pongs, whether the bytes come at once, one by one, or in pieces of any size."""
    data = b"".join(pieces)
    results = []
    for cuts in ([len(data) + 1], [1], sizes):
        protocol, messages, at, turn = ServerSideProtocol(200, 1000), [], 0, 0
        while at < len(data):
            size = cuts[turn % len(cuts)]
            messages += drained(protocol, data[at : at + size])
            at, turn = at + size, turn + 1
        results.append(([m if isinstance(m, str | bytes) else m.code for m in messages], protocol.data_to_send()))
    assert results[0] == results[1] == results[2]
    assert code(protocol) is None


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536, 70_000])
def test_frame_boundaries(length: int) -> None:
    """Three frames, for each size of the length field: boundaries are found from positions at, and inside, a frame."""
    frames = b"".join(frame_head(TEXT_HEAD, size) + b"p" * size for size in (3, length, 3))
    second = len(frame_head(TEXT_HEAD, 3)) + 3
    third = second + len(frame_head(TEXT_HEAD, length)) + length
    assert frame_boundary(frames, 0) == 0
    assert frame_boundary(frames, 1) == second
    assert frame_boundary(frames, second) == second
    assert frame_boundary(frames, second + 1) == third
    assert frame_boundary(frames, len(frames)) == len(frames)
