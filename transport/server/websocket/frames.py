"""Encode the frame heads that a server writes: unmasked and unfragmented (RFC 6455 section 5.2). Pure."""

from functools import lru_cache
from typing import Final

_TEXT: Final = 0x81  # the only fragment of a text message (FIN and opcode 1)
_BINARY: Final = 0x82
_DEFLATED: Final = _TEXT | 0x40


@lru_cache(maxsize=4096)
def text_head(length: int) -> bytes:
    """Return the head of an unmasked, unfragmented text frame with `length` bytes of payload."""
    return _head(_TEXT, length)


def binary_head(length: int) -> bytes:
    """Return the head of an unmasked, unfragmented binary frame with `length` bytes of payload."""
    return _head(_BINARY, length)


def deflated_head(length: int) -> bytes:
    """Return the head of an unmasked text frame with `length` bytes of compressed payload (RFC 7692 section 6.1)."""
    return _head(_DEFLATED, length)


def _head(first: int, length: int) -> bytes:
    if length < 126:
        return bytes((first, length))
    if length < 65536:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


def frame_boundary(frames: bytes, position: int) -> int:
    """Return the end of the unmasked frame that contains `position`; `position` itself between two frames."""
    end = 0
    while end < position:
        length, head = frames[end + 1], 2
        if length == 126:
            length, head = int.from_bytes(frames[end + 2 : end + 4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(frames[end + 2 : end + 10], "big"), 10
        end += head + length
    return end
