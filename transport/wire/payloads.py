"""Frames to payloads, as the client wants them: several in one, large ones in parts, compressed. Pure."""

import zlib
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from transport.wire.chunks import CHUNK_BYTES


class Binary(bytes):
    """A payload that goes out in a binary frame; any other is text."""


# Below this a frame fits into one packet, and compressing it costs more than it saves.
GZIP_BYTES: Final = 1024
# Above this compressing takes more of a step of the loop than others should wait; a client that asked for parts gets
# each of them compressed.
GZIP_MOST_BYTES: Final = 128 * 1024
# The fastest level: on JSON it saves nearly as much as the others, at a fraction of the time.
_LEVEL: Final = 1
_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's way to ask for gzip's header


@frozen
class ClientCapabilities:
    """What the client can take, by its last `hello`: see `transport.wire.commands.Hello`."""

    batch: bool = False
    chunk: bool = False
    gzip: bool = False
    html: bool = False


def pack(frames: Sequence[bytes], capabilities: ClientCapabilities) -> Sequence[bytes]:
    """The payloads to be written for these frames of JSON."""
    if capabilities.batch and len(frames) > 1:
        frames = _batches(frames, CHUNK_BYTES) if capabilities.chunk else [_batch(frames)]
    if capabilities.gzip:
        frames = [compressed(frame) if GZIP_BYTES < len(frame) <= GZIP_MOST_BYTES else frame for frame in frames]
    return frames


def _batch(frames: Sequence[bytes]) -> bytes:
    return frames[0] if len(frames) == 1 else b"[" + b",".join(frames) + b"]"


def _batches(frames: Sequence[bytes], max_bytes: int) -> list[bytes]:
    """As few batches as can be, none larger than a part of a large event would be."""
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
    """A frame as gzip (RFC 1952), which goes out in a binary frame."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return Binary(deflate.compress(frame) + deflate.flush())
