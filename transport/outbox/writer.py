"""From what waits to the client: as much as goes into one write, in the client's own way."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

import trio

from transport.outbox.metrics import ConnectionMetrics
from transport.outbox.send_queue import SendQueue
from transport.outbox.sink import Sink
from transport.wire.chunks import CHUNK_BYTES, split
from transport.wire.encoder import Encode
from transport.wire.payloads import ClientCapabilities, pack

# In one step of the loop: a client that reads as fast as this writes must not hold up the others.
_WRITES_AT_ONCE: Final = 4


class OutboxWriter:
    """Writes to one client what is `pending`, about `write_bytes` at a time.

    `shape` encodes what is encoded late, `speak` is what the client can take: both may change at any time.
    """

    __slots__ = (
        "_chunk_ids", "_chunks", "_clock", "_metrics", "_queue", "_sink", "_write_bytes", "capabilities", "encode",
    )  # fmt: skip

    def __init__(
        self,
        sink: Sink,
        pending: SendQueue,
        shape: Encode,
        observer: ConnectionMetrics,
        write_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.encode = shape
        self.capabilities = ClientCapabilities()
        self._sink = sink
        self._queue = pending
        self._metrics = observer
        self._write_bytes = write_bytes
        self._clock = clock
        self._chunks: deque[bytes] | None = None  # the rest of a large event, and what came right after it
        self._chunk_ids: count[int] | None = None

    def __bool__(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._queue) or self._chunks is not None

    def write_now(self) -> bool:
        """Write without waiting; whether everything is out. Raises SocketClosed."""
        for _ in range(_WRITES_AT_ONCE):
            if not self:
                return True
            if not self._sink.write_now(self._next()):
                return False
        return not self

    async def write(self) -> None:
        """Write what is next, and before it what could not be written without waiting. Raises SocketClosed."""
        await self._sink.write(self._next())
        await trio.lowlevel.checkpoint()  # a long queue, or log, must not hold up the others

    def _next(self) -> Sequence[bytes]:
        if self._chunks is None:
            taken = self._queue.pop_batch(self._write_bytes, self.encode)
        else:
            taken = self._queue.pop_urgent(self._write_bytes, self.encode)
        if taken.frames:
            self._metrics.on_sent(taken.types, taken.times, self._clock())
        if self.capabilities.chunk or self._chunks is not None:
            return pack(self._chunked(taken.frames), self.capabilities)
        return pack(taken.frames, self.capabilities)

    def _chunked(self, frames: Sequence[bytes]) -> list[bytes]:
        """What goes out now of these frames, or after them of those begun before; what is left waits its turn."""
        out: list[bytes] = []
        if self._chunks is None:
            self._chunks = deque()
            for frame in frames:
                self._chunks.extend([frame] if len(frame) <= CHUNK_BYTES else split(frame, self._next_chunk_id()))
        else:
            out.extend(frames)  # the urgent ones
        size = 0
        while self._chunks and size < self._write_bytes:
            out.append(self._chunks.popleft())
            size += len(out[-1])
        if not self._chunks:
            self._chunks = None
        return out

    def _next_chunk_id(self) -> str:
        if self._chunk_ids is None:
            self._chunk_ids = count(1)
        return str(next(self._chunk_ids))
