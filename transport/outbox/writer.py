"""Write the send queue to the client's sink, batched, compressed and chunked as the client can take it."""

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

# Writes per step of the loop: a client that reads as fast as this writes must not delay other tasks.
_WRITES_AT_ONCE: Final = 4


class OutboxWriter:
    """Writes the queue to one client, about `write_bytes` at a time.

    `encode` encodes text pieces, which are encoded late; `capabilities` are the client's. Both may change at any time.
    """

    __slots__ = (
        "_chunk_ids", "_chunks", "_clock", "_metrics", "_queue", "_sink", "_write_bytes", "capabilities", "encode",
    )  # fmt: skip

    def __init__(
        self,
        sink: Sink,
        queue: SendQueue,
        encode: Encode,
        metrics: ConnectionMetrics,
        write_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.encode = encode
        self.capabilities = ClientCapabilities()
        self._sink = sink
        self._queue = queue
        self._metrics = metrics
        self._write_bytes = write_bytes
        self._clock = clock
        self._chunks: deque[bytes] | None = None  # the remaining chunks of a large event, and frames after it
        self._chunk_ids: count[int] | None = None

    def __bool__(self) -> bool:
        """Return whether anything is to be written."""
        return bool(self._queue) or self._chunks is not None

    def write_now(self) -> bool:
        """Write without waiting. Return whether everything was sent. Raises SocketClosed."""
        for _ in range(_WRITES_AT_ONCE):
            if not self:
                return True
            if not self._sink.write_now(self._next()):
                return False
        return not self

    async def write(self) -> None:
        """Write the next batch, after the rest of the previous one. Raises SocketClosed."""
        await self._sink.write(self._next())
        await trio.lowlevel.checkpoint()  # a long queue, or log, must not delay other tasks

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
        """Split large frames. Return what to write now; urgent frames precede the remaining chunks."""
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
