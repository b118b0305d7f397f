"""The meter of frames: the pieces it makes of a client's bytes, and what it refuses."""

import struct

import pytest
from h2.errors import ErrorCodes
from hypothesis import given
from hypothesis import strategies as st

from transport.server.http2_frames import (
    BATCH,
    BURST,
    MAX_FRAME,
    PER_S,
    PREFACE_BYTES,
    TINY,
    FrameMeter,
    FrameRefused,
)

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"p" * PREFACE_BYTES


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 1) -> bytes:
    """A frame (RFC 9113 section 4.1)."""
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, stream) + payload


def meter() -> FrameMeter:
    """A meter that has seen the preface, at time 0."""
    new = FrameMeter(0.0, block_bytes=1000)
    assert list(new.feed(PREFACE, 0.0)) == [PREFACE]
    return new


def refusal(of: FrameMeter, data: bytes, now: float = 0.0) -> ErrorCodes | None:
    """The code with which the meter refuses these bytes; None if it takes them."""
    try:
        list(of.feed(data, now))
    except FrameRefused as refused:
        return refused.code
    return None


@given(st.lists(st.tuples(st.sampled_from([DATA, HEADERS, PING, 77]), st.binary(max_size=200))), st.randoms())
def test_the_pieces_are_the_bytes(frames: list[tuple[int, bytes]], random: object) -> None:
    """However the bytes are cut, the pieces joined are the same bytes, and no piece holds more than BATCH frames."""
    sent = PREFACE + b"".join(frame(kind, payload, END_HEADERS) for kind, payload in frames)
    whole, cut = FrameMeter(0.0, block_bytes=1000), FrameMeter(0.0, block_bytes=1000)
    pieces = list(whole.feed(sent, 0.0))
    assert b"".join(pieces) == sent
    assert len(pieces) == max(1, -(-len(frames) // BATCH))
    received, rest = b"", sent
    while rest:
        size = random.randint(1, 40)  # type: ignore[attr-defined]
        received += b"".join(cut.feed(rest[:size], 0.0))
        rest = rest[size:]
    assert received == sent
    assert whole.in_header_block == cut.in_header_block


def test_a_long_frame_is_refused_at_its_head() -> None:
    assert refusal(meter(), frame(DATA, b"x" * MAX_FRAME)) is None
    head = (MAX_FRAME + 1).to_bytes(3) + bytes((DATA, 0, 0, 0, 0, 1))
    assert refusal(meter(), head[:8]) is None
    assert refusal(meter(), head) is ErrorCodes.FRAME_SIZE_ERROR


def test_a_header_block_is_bounded_over_its_frames() -> None:
    begun = frame(HEADERS, b"x" * 600)
    assert refusal(meter(), begun + frame(CONTINUATION, b"x" * 400, END_HEADERS)) is None
    assert refusal(meter(), begun + frame(CONTINUATION, b"x" * 401, END_HEADERS)) is ErrorCodes.ENHANCE_YOUR_CALM
    assert refusal(meter(), begun + frame(CONTINUATION) * (BURST + 1)) is ErrorCodes.ENHANCE_YOUR_CALM
    assert refusal(meter(), frame(HEADERS, b"x" * 600, END_HEADERS) * 5) is None


def test_an_open_header_block_is_seen() -> None:
    """From the head of its first frame to the last byte of its last one."""
    one = meter()
    whole = frame(HEADERS, b"x" * 50, END_HEADERS)
    list(one.feed(whole[:20], 0.0))
    assert one.in_header_block
    list(one.feed(whole[20:], 0.0))
    assert not one.in_header_block
    list(one.feed(frame(HEADERS), 0.0))
    assert one.in_header_block
    list(one.feed(frame(CONTINUATION, b"x", END_HEADERS), 0.0))
    assert not one.in_header_block


CHEAP = {
    "resets": frame(RESET, bytes(4)),
    "pings": frame(PING, bytes(8)),
    "settings": frame(SETTINGS),
    "acknowledgements": frame(SETTINGS, flags=1),
    "priorities": frame(PRIORITY, bytes(5)),
    "windows": frame(WINDOW, bytes(4)),
    "unknown": frame(0xBE),
    "empty": frame(DATA),
    "tiny": frame(DATA, b"x" * (TINY - 1)),
}


@pytest.mark.parametrize("kind", CHEAP)
def test_cheap_frames_are_paid_for(kind: str) -> None:
    """BURST of them are taken at once, one more is not; time gives back PER_S a second, and no more than BURST."""
    one = meter()
    assert refusal(one, CHEAP[kind] * BURST) is None
    assert refusal(one, CHEAP[kind] * int(PER_S), 1.0) is None
    assert refusal(one, CHEAP[kind] * BURST, 1000.0) is None
    assert refusal(one, CHEAP[kind], 1000.0) is ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "useful", [frame(HEADERS, b"x", END_HEADERS), frame(DATA, b"x" * TINY), frame(DATA, b"", END_STREAM)]
)
def test_useful_frames_are_free(useful: bytes) -> None:
    assert refusal(meter(), useful * BURST * 3) is None


def test_large_settings_cost_more() -> None:
    assert refusal(meter(), frame(SETTINGS, bytes(6 * 1000)) * 10) is ErrorCodes.ENHANCE_YOUR_CALM


def test_a_reader_of_much_data_may_update_its_windows() -> None:
    """Two updates for each frame of data that was sent, however many."""
    one = meter()
    for _ in range(BURST * 3):
        one.data_sent()
        assert refusal(one, CHEAP["windows"] * 2) is None
