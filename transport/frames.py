"""The frames a server writes, as bytes: unmasked, and text never in fragments (RFC 6455 section 5.2). Pure."""

from functools import lru_cache


@lru_cache(maxsize=4096)
def text_head(length: int) -> bytes:
    """The head of an unmasked, unfragmented text frame with `length` bytes of payload."""
    if length < 126:
        return bytes((0x81, length))
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


def frame_boundary(frames: bytes, position: int) -> int:
    """Where the unmasked frame that `position` lies in ends; `position` itself when it lies between two frames."""
    end = 0
    while end < position:
        length, head = frames[end + 1], 2
        if length == 126:
            length, head = int.from_bytes(frames[end + 2 : end + 4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(frames[end + 2 : end + 10], "big"), 10
        end += head + length
    return end
