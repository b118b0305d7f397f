"""What a client of HTTP/2 may send, decided from the heads of its frames before a parser stores or works on them. Pure.

1. No frame is longer than MAX_FRAME, the size every peer must accept (RFC 9113 section 4.2). The h2 library would store
   up to 16 MiB of a longer one before it refuses it.
2. A header block, with its CONTINUATION frames, is at most `block_bytes` long.
3. Frames that cost the server work and the client next to nothing are paid for from a budget: resets (CVE-2023-44487),
   pings, settings, priorities, window updates, continuations, tiny and unknown frames. The budget refills with time,
   and with what the client lets the server send it.
"""

from collections.abc import Iterator
from typing import Final

from h2.errors import ErrorCodes

MAX_FRAME: Final = 16 * 1024
"""Bytes of a frame's payload."""
BURST: Final = 500
"""Budget of a connection at its start, and its maximum: a browser that leaves a page resets at most 100 streams."""
PER_S: Final = 50.0
"""Budget that is given back each second."""
PER_DATA_FRAME: Final = 2.0
"""Budget that is given back for each frame of data sent: the client updates the windows of stream and connection."""
TINY: Final = 64
"""Bytes of a DATA frame below which it must be paid for, unless it ends its stream."""
BATCH: Final = 16
"""Frames after which other tasks have their turn. Parsing a head costs about a tenth of a millisecond."""

PREFACE_BYTES: Final = 24  # RFC 9113 section 3.4
_HEAD_BYTES: Final = 9
_DATA: Final = 0x0
_HEADERS: Final = 0x1
_CONTINUATION: Final = 0x9
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4


class FrameRefused(Exception):
    """The connection must be closed with this error. `reason` is for the log."""

    def __init__(self, code: ErrorCodes, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameMeter:
    """Reads the heads of one connection's frames. `now` is in seconds, on any clock that does not go back."""

    def __init__(self, now: float, *, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self._budget = float(BURST)
        self._refilled_at = now
        self._skip = PREFACE_BYTES  # bytes until the next frame's head
        self._head = bytearray()
        self._type = -1
        self._block = 0
        self._block_open = False

    @property
    def in_header_block(self) -> bool:
        """Whether a header block has begun and its end has not arrived."""
        return self._block_open or (self._type in (_HEADERS, _CONTINUATION) and self._skip > 0)

    def feed(self, data: bytes, now: float) -> Iterator[bytes]:
        """Yield the bytes in pieces of at most BATCH frames each. Raises FrameRefused in place of a refused frame."""
        self._budget = min(BURST, self._budget + (now - self._refilled_at) * PER_S)
        self._refilled_at = now
        at = begun = frames = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            if frames == BATCH and not self._head:
                yield data[begun:at]
                begun, frames = at, 0
            step = min(_HEAD_BYTES - len(self._head), len(data) - at)
            self._head += data[at : at + step]
            at += step
            if len(self._head) == _HEAD_BYTES:
                self._begin(bytes(self._head))
                self._head.clear()
                frames += 1
        yield data[begun:]

    def charge(self, amount: float = 1.0) -> None:
        """Pay for something. Raises FrameRefused if the budget is spent."""
        self._budget -= amount
        if self._budget < 0:
            raise FrameRefused(ErrorCodes.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    def data_sent(self) -> None:
        """Give budget back for a frame of data that was sent."""
        self._budget = min(BURST, self._budget + PER_DATA_FRAME)

    def _begin(self, head: bytes) -> None:
        length, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
        if length > MAX_FRAME:
            raise FrameRefused(ErrorCodes.FRAME_SIZE_ERROR, "a frame is too long")
        self._skip = length
        self._type = kind
        if kind in (_HEADERS, _CONTINUATION):
            self._block = length if kind == _HEADERS else self._block + length
            self._block_open = not flags & _END_HEADERS
            if self._block > self._block_bytes:
                raise FrameRefused(ErrorCodes.ENHANCE_YOUR_CALM, "a header block is too long")
        if kind == _DATA:
            if length < TINY and not flags & _END_STREAM:
                self.charge()
        elif kind != _HEADERS:
            self.charge(1 + length // TINY)
