"""From what waits to the client: as much as goes into one write, in the client's own way."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

import trio

from transport.outbox.metrics import Observer
from transport.outbox.send_queue import Pending
from transport.outbox.sink import Sink
from transport.wire.chunks import PIECE_BYTES, split
from transport.wire.encoder import Encode
from transport.wire.payloads import Speak, pack

# In one step of the loop: a client that reads as fast as this writes must not hold up the others.
_WRITES_AT_ONCE: Final = 4


class Outlet:
    """Writes to one client what is `pending`, about `write_bytes` at a time.

    `shape` encodes what is encoded late, `speak` is what the client can take: both may change at any time.
    """

    __slots__ = ("_clock", "_names", "_observer", "_parts", "_pending", "_sink", "_write_bytes", "shape", "speak")

    def __init__(
        self,
        sink: Sink,
        pending: Pending,
        shape: Encode,
        observer: Observer,
        write_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.shape = shape
        self.speak = Speak()
        self._sink = sink
        self._pending = pending
        self._observer = observer
        self._write_bytes = write_bytes
        self._clock = clock
        self._parts: deque[bytes] | None = None  # the rest of a large event, and what came right after it
        self._names: count[int] | None = None

    def __bool__(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._pending) or self._parts is not None

    def push(self) -> bool:
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
        if self._parts is None:
            taken = self._pending.take(self._write_bytes, self.shape)
        else:
            taken = self._pending.take_urgent(self._write_bytes, self.shape)
        if taken.frames:
            self._observer.on_sent(taken.types, taken.times, self._clock())
        if self.speak.chunk or self._parts is not None:
            return pack(self._in_parts(taken.frames), self.speak)
        return pack(taken.frames, self.speak)

    def _in_parts(self, frames: Sequence[bytes]) -> list[bytes]:
        """What goes out now of these frames, or after them of those begun before; what is left waits its turn."""
        out: list[bytes] = []
        if self._parts is None:
            self._parts = deque()
            for frame in frames:
                self._parts.extend([frame] if len(frame) <= PIECE_BYTES else split(frame, self._name()))
        else:
            out.extend(frames)  # the urgent ones
        size = 0
        while self._parts and size < self._write_bytes:
            out.append(self._parts.popleft())
            size += len(out[-1])
        if not self._parts:
            self._parts = None
        return out

    def _name(self) -> str:
        if self._names is None:
            self._names = count(1)
        return str(next(self._names))
