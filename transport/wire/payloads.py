"""Pack frames into payloads by the client's capabilities: batched and compressed. Pure."""

import zlib
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from transport.wire.chunks import CHUNK_BYTES


class Binary(bytes):
    """A payload that is sent as a binary frame; any other is sent as text."""


# Below this a frame fits into one packet, and compressing it costs more than it saves.
GZIP_BYTES: Final = 1024
# Above this compressing would block the loop for too long; a client that takes chunks gets each of them compressed.
GZIP_MOST_BYTES: Final = 128 * 1024
# The fastest level: on JSON it saves nearly as much as higher ones, in a fraction of the time.
_LEVEL: Final = 1
_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's parameter for a gzip header


@frozen
class ClientCapabilities:
    """The client's capabilities, from its last `hello`: see `transport.wire.commands.Hello`."""

    batch: bool = False
    chunk: bool = False
    gzip: bool = False
    html: bool = False


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
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return Binary(deflate.compress(frame) + deflate.flush())
