"""Frames to payloads, as the client wants them."""

import gzip
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.wire.commands import Chunk
from transport.wire.errors import CommandRejected
from transport.wire.payloads import (
    CHUNK_BYTES,
    GZIP_BYTES,
    MAX_OPEN,
    Binary,
    ChunkAssembler,
    ChunkBudget,
    ClientCapabilities,
    pack,
    split,
)
from understudy.wire.commands import Say
from understudy.wire.vocabulary import parse_frame

SMALL = [b'{"a":1}', b'{"b":2}']


def test_plain_frames_stay_as_they_are() -> None:
    assert pack(SMALL, ClientCapabilities()) == SMALL


def test_a_batch_is_an_array() -> None:
    assert pack(SMALL, ClientCapabilities(batch=True)) == [b'[{"a":1},{"b":2}]']
    assert pack(SMALL[:1], ClientCapabilities(batch=True)) == SMALL[:1]
    assert pack([], ClientCapabilities(batch=True)) == []


def test_batches_for_clients_that_want_parts_are_no_larger_than_parts() -> None:
    """With `batch` and `chunk` no batch is larger than a chunk."""
    frames = [b'"%s"' % (b"x" * 5000)] * 7
    packed = pack(frames, ClientCapabilities(batch=True, chunk=True))
    assert all(len(payload) <= CHUNK_BYTES + 10 for payload in packed)
    assert len(packed) == 4
    assert b",".join(payload.strip(b"[]") for payload in packed) == b",".join(frames)


def test_large_frames_are_compressed() -> None:
    """Over a KiB, as gzip in a binary frame; below, as text."""
    large = b'"%s"' % (b"word " * 400)
    first, second = pack([SMALL[0], large], ClientCapabilities(gzip=True))
    assert first == SMALL[0]
    assert not isinstance(first, Binary)
    assert isinstance(second, Binary)
    assert len(second) < len(large) / 5
    assert gzip.decompress(second) == large
    assert not isinstance(pack([b"x" * GZIP_BYTES], ClientCapabilities(gzip=True))[0], Binary)


def test_batches_are_compressed_as_a_whole() -> None:
    (payload,) = pack([SMALL[0]] * 300, ClientCapabilities(batch=True, gzip=True))
    assert isinstance(payload, Binary)
    assert gzip.decompress(payload) == b"[" + b",".join([SMALL[0]] * 300) + b"]"


def chunk(name: str, index: int, count: int, data: str = "x") -> Chunk:
    return Chunk(name, index, count, data)


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=300), st.integers(4, 50))
def test_a_cut_message_is_put_together_again(text: str, piece_bytes: int) -> None:
    """Whatever the text and the size of a piece; each piece is whole characters, and no larger than it may be."""
    frame = json.dumps(text, ensure_ascii=False).encode()
    parts = [parse_frame(part) for part in split(frame, "7", piece_bytes)]
    assert all(isinstance(part, Chunk) and len(part.data.encode()) <= piece_bytes for part in parts)
    assembler = ChunkAssembler()
    whole = [assembler.add(part, 0.0) for part in parts if isinstance(part, Chunk)]
    assert whole[:-1] == [None] * (len(parts) - 1)
    assert json.loads(whole[-1] or "") == text


def test_a_part_is_a_frame_of_the_protocol() -> None:
    assert [json.loads(part) for part in split(b'{"a":1}', "n", 4)] == [
        {"type": "chunk", "id": "n", "index": 0, "count": 2, "data": '{"a"'},
        {"type": "chunk", "id": "n", "index": 1, "count": 2, "data": ":1}"},
    ]
    assert len(split(b"x" * (3 * CHUNK_BYTES), "n")) == 3


def test_parts_of_several_frames_may_be_mixed() -> None:
    assembler = ChunkAssembler()
    assert assembler.add(chunk("a", 0, 2, "1"), 0.0) is None
    assert assembler.add(chunk("b", 0, 1, "2"), 0.0) == "2"
    assert assembler.add(chunk("a", 1, 2, "3"), 0.0) == "13"


@pytest.mark.parametrize(
    "parts",
    [
        [chunk("a", 1, 2)],
        [chunk("a", 0, 3), chunk("a", 2, 3)],
        [chunk("a", 0, 3), chunk("a", 0, 3)],
        [chunk("a", 0, 3), chunk("a", 1, 2)],
        [chunk(str(number), 0, 2) for number in range(MAX_OPEN + 1)],
    ],
    ids=["the first is missing", "one is missing", "one comes twice", "another count", "too many begun"],
)
def test_a_chunk_out_of_order_is_refused(parts: list[Chunk]) -> None:
    """The last part is refused, and the frame it belongs to forgotten."""
    assembler = ChunkAssembler()
    for part in parts[:-1]:
        assert assembler.add(part, 0.0) is None
    with pytest.raises(CommandRejected) as refused:
        assembler.add(parts[-1], 0.0)
    assert refused.value.code == "invalid_command"
    if parts[-1].id == "a":
        assert assembler.add(chunk("a", 0, 1, "again"), 0.0) == "again"


def test_all_that_is_begun_is_bounded_together() -> None:
    """Partial frames beyond `max_bytes`, not characters: the newest is discarded, and its bytes are free."""
    assembler = ChunkAssembler(max_bytes=10)
    assert assembler.add(chunk("a", 0, 2, "12345"), 0.0) is None
    with pytest.raises(CommandRejected) as refused:
        assembler.add(chunk("b", 0, 2, "ééé"), 0.0)
    assert refused.value.code == "message_too_large"
    assert assembler.add(chunk("b", 0, 1, "éé"), 0.0) == "éé"
    with pytest.raises(CommandRejected):
        assembler.add(chunk("a", 1, 2, "678901"), 0.0)
    assert assembler.add(chunk("c", 0, 1, "1234567890"), 0.0) == "1234567890"


def test_an_unfinished_message_is_forgotten_in_time() -> None:
    """Each part may take so long after the one before, and no longer."""
    assembler = ChunkAssembler(within_s=30.0)
    assembler.add(chunk("a", 0, 3), 0.0)
    assembler.add(chunk("a", 1, 3), 29.0)
    assert assembler.add(chunk("a", 2, 3), 58.0) == "xxx"
    assembler.add(chunk("a", 0, 2), 60.0)
    with pytest.raises(CommandRejected):
        assembler.add(chunk("a", 1, 2), 91.0)


def test_a_whole_command_fits() -> None:
    command = json.dumps({"type": "message", "content": "é" * 9000}, ensure_ascii=False).encode()
    assembler = ChunkAssembler()
    for part in split(command, "1"):
        parsed = parse_frame(part)
        assert isinstance(parsed, Chunk)
        whole = assembler.add(parsed, 0.0)
    assert parse_frame(whole or "") == Say("é" * 9000)


def test_all_clients_share_one_room() -> None:
    """The budget is used up: `busy`; discarded frames release their bytes."""
    room = ChunkBudget(10)
    first, other = ChunkAssembler(budget=room), ChunkAssembler(budget=room, within_s=5.0)
    assert first.add(chunk("a", 0, 2, "123456"), 0.0) is None
    assert other.add(chunk("b", 0, 2, "1234"), 0.0) is None
    with pytest.raises(CommandRejected) as refused:
        first.add(chunk("c", 0, 1, "x"), 0.0)
    assert (refused.value.code, room.used) == ("busy", 10)
    other.expire(4.0)
    assert room.used == 10
    other.expire(6.0)
    assert room.used == 6
    assert first.add(chunk("a", 1, 2, "789"), 0.0) == "123456789"
    assert room.used == 0
    first.add(chunk("d", 0, 2, "12"), 0.0)
    first.close()
    assert room.used == 0


@pytest.mark.parametrize("piece", ["x", "é", "語", "🙂", "x" * 99 + "🙂"])
def test_waiting_chunks_take_the_memory_that_is_counted(piece: str) -> None:
    """Up to a quarter more, for the room in which a buffer grows; some pieces have four bytes a character in a text."""
    assembler, room = ChunkAssembler(), 40_000
    count = room // len(piece.encode())
    chunks = [chunk("a", index, count + 1, piece.encode().decode()) for index in range(count)]
    tracemalloc.start()
    for part in chunks:
        assembler.add(part, 0.0)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del chunks
    assert assembler.budget.used <= room
    assert used < 1.25 * room
