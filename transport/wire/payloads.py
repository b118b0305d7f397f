"""Pack frames into payloads by the client's capabilities: batched, compressed, and in chunks. Pure.

A chunk is a frame `{"type":"chunk","id":"7","index":0,"count":3,"data":"…"}`. The `data` of all chunks of one `id`,
concatenated in the order of `index`, is the JSON text of one frame. Other frames may be sent between chunks.
"""

import gzip
from collections.abc import Sequence
from typing import Final

import msgspec
from attrs import define, field, frozen

from transport.wire.commands import Chunk
from transport.wire.errors import CommandRejected

# Larger frames are split. Frame limits of proxies and client libraries are 16 KiB or more, some 64 KiB.
CHUNK_BYTES: Final = 12 * 1024
MAX_OPEN: Final = 4
"""Most partial frames of a client; another one is refused with `invalid_command`."""

_encoder: Final = msgspec.json.Encoder()


def split(frame: bytes, name: str, piece_bytes: int = CHUNK_BYTES) -> list[bytes]:
    """Split a frame of UTF-8 JSON into chunks of at most `piece_bytes` of it, cut between characters."""
    pieces: list[str] = []
    start = 0
    while start < len(frame):
        end = min(start + piece_bytes, len(frame))
        while end < len(frame) and frame[end] & 0xC0 == 0x80:  # inside a character
            end -= 1
        pieces.append(frame[start:end].decode())
        start = end
    return [
        _encoder.encode({"type": "chunk", "id": name, "index": index, "count": len(pieces), "data": piece})
        for index, piece in enumerate(pieces)
    ]


@define
class ChunkBudget:
    """The bytes that the partial frames of all clients together may use."""

    max_bytes: int = 256 * 1024 * 1024
    used: int = field(default=0, init=False)

    def reserve(self, size: int) -> bool:
        """Reserve `size` bytes. Return False, reserving nothing, if that exceeds the budget."""
        if self.used + size > self.max_bytes:
            return False
        self.used += size
        return True


@define
class _PartialFrame:
    count: int
    touched: float
    chunks: int = 0
    text: bytearray = field(factory=bytearray)  # a list of texts would take many times the bytes that are counted


@define
class ChunkAssembler:
    """Reassembles a client's chunks: at most `max_bytes` at a time, within the `budget` of all clients.

    Each chunk must come within `within_s` seconds of the one before. Call `expire` periodically, and `close` at the
    end.
    """

    max_bytes: int = 8 * 1024 * 1024
    within_s: float = 30.0
    budget: ChunkBudget = field(factory=ChunkBudget)
    _open: dict[str, _PartialFrame] = field(factory=dict, init=False)
    _size: int = field(default=0, init=False)

    def add(self, chunk: Chunk, now: float) -> str | None:
        """Add a chunk at `now` (seconds of a monotonic clock). Return the whole text if it was the last one.

        Raises CommandRejected, and discards the partial frame: `invalid_command` for a chunk out of order,
        `message_too_large` beyond `max_bytes`, `busy` beyond the budget.
        """
        self.expire(now)
        partial = self._open.get(chunk.id)
        if partial is None:
            partial = self._start_frame(chunk, now)
        if chunk.index != partial.chunks or chunk.count != partial.count:
            self._discard(chunk.id)
            raise CommandRejected("invalid_command", "A chunk does not follow the one before it; send them all again.")
        data = chunk.data.encode()
        if self._size + len(data) > self.max_bytes:
            self._discard(chunk.id)
            raise CommandRejected("message_too_large", f"Chunks may have at most {self.max_bytes} bytes together.")
        if not self.budget.reserve(len(data)):
            self._discard(chunk.id)
            raise CommandRejected("busy", "Too many large messages are on their way; try again in a moment.", 5.0)
        partial.text += data
        partial.chunks += 1
        partial.touched = now
        self._size += len(data)
        if partial.chunks < partial.count:
            return None
        self._discard(chunk.id)
        return partial.text.decode()

    def expire(self, now: float) -> None:
        """Discard partial frames whose next chunk is overdue."""
        for name in [name for name, partial in self._open.items() if now - partial.touched > self.within_s]:
            self._discard(name)

    def close(self) -> None:
        """Discard all partial frames."""
        for name in list(self._open):
            self._discard(name)

    def _start_frame(self, chunk: Chunk, now: float) -> _PartialFrame:
        if chunk.index != 0:
            raise CommandRejected("invalid_command", "The first chunk is missing, or too old; send them all again.")
        if len(self._open) >= MAX_OPEN:
            raise CommandRejected("invalid_command", f"At most {MAX_OPEN} messages may be sent in chunks at a time.")
        self._open[chunk.id] = partial = _PartialFrame(chunk.count, now)
        return partial

    def _discard(self, name: str) -> None:
        removed = self._open.pop(name, None)
        if removed is not None:
            self._size -= len(removed.text)
            self.budget.used -= len(removed.text)


class Binary(bytes):
    """A payload that is sent as a binary frame; any other is sent as text."""


# Below this a frame fits into one packet, and compressing it costs more than it saves.
GZIP_BYTES: Final = 1024
# Above this compressing would block the loop for too long; a client that takes chunks gets each of them compressed.
GZIP_MOST_BYTES: Final = 128 * 1024
# The fastest level: on JSON it saves nearly as much as higher ones, in a fraction of the time.
_LEVEL: Final = 1


@frozen
class ClientCapabilities:
    """The client's capabilities, from its last `hello`: see `transport.wire.commands.Hello`."""

    batch: bool = False
    chunk: bool = False
    gzip: bool = False


def pack(frames: list[bytes], capabilities: ClientCapabilities) -> list[bytes]:
    """Return the payloads to write for these JSON frames."""
    if capabilities.batch and len(frames) > 1:
        frames = _batches(frames, CHUNK_BYTES) if capabilities.chunk else [_batch(frames)]
    if capabilities.gzip:
        frames = [compressed(frame) if GZIP_BYTES < len(frame) <= GZIP_MOST_BYTES else frame for frame in frames]
    return frames


def _batch(frames: Sequence[bytes]) -> bytes:
    return frames[0] if len(frames) == 1 else b"[" + b",".join(frames) + b"]"


def _batches(frames: Sequence[bytes], max_bytes: int) -> list[bytes]:
    """Join frames into as few batches as possible, each no larger than a chunk unless one frame is."""
    batches: list[bytes] = []
    group: list[bytes] = []
    size = 0
    for frame in frames:
        if group and size + len(frame) > max_bytes:
            batches.append(_batch(group))
            group, size = [], 0
        group.append(frame)
        size += len(frame) + 1
    batches.append(_batch(group))
    return batches


def compressed(frame: bytes) -> Binary:
    """Compress a frame with gzip (RFC 1952); it is sent as a binary frame."""
    return Binary(gzip.compress(frame, _LEVEL, mtime=0))
