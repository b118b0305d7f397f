"""Frames between the parent of a server's workers and each worker, over a pair of connected sockets.

A frame is its length in four bytes and a message in MessagePack. Both ends are of one release: a worker is started with
the program of its parent.
"""

import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import trio

READ_BYTES: Final = 256 * 1024
QUEUE_BYTES: Final = 32 * 1024 * 1024
"""Bytes of frames that wait for the other end; what may be dropped is dropped beyond."""
STUCK_BYTES: Final = 2 * QUEUE_BYTES
"""Bytes that wait for an end which is taken for dead: it has not read for so long that it cannot catch up."""
_LENGTH: Final = struct.Struct("!I")


class WorkerWelcome(msgspec.Struct, frozen=True, tag=True):
    """The first frame to a worker. `number` is from 1; `first`: no other worker of this server has started yet.

    `group` names this server among those that share its database; `key` encrypts what workers send each other.
    `addresses` are those to listen on, each as family, host, port and the rest of a socket's address.
    """

    number: int
    workers: int
    first: bool
    group: str
    key: str
    addresses: list[tuple[int, list[str | int]]]


class WorkerState(msgspec.Struct, frozen=True):
    """A worker as its parent sees it. `state`: `starting`, `ready`, `leaving` or `down`. `since` is in Unix seconds;
    `status` and `counts` are what the worker reported last."""

    worker: int
    pid: int
    state: str
    since: float
    restarts: int
    status: str = "ok"
    counts: dict[str, int] = {}


class WorkerStates(msgspec.Struct, frozen=True, tag=True):
    """All workers, to each of them, whenever one changes."""

    workers: list[WorkerState]


class WorkerReport(msgspec.Struct, frozen=True, tag=True):
    """The health of a worker itself, and its counts of connections and runs."""

    status: str
    counts: dict[str, int]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The worker accepts connections. `address` is the server's URL."""

    address: str


class Call(msgspec.Struct, frozen=True, tag=True):
    """A call of the parent's hub; `Reply` has its result, or an error, or that an inbox is missing (`refused`)."""

    id: int
    method: str
    arguments: list[Any]


class Reply(msgspec.Struct, frozen=True, tag=True):
    """The answer to the call or question of this id."""

    id: int
    result: Any = None
    error: str = ""
    refused: bool = False


class AskWorker(msgspec.Struct, frozen=True, tag=True):
    """A question of the parent to a worker: `metrics`."""

    id: int
    question: str


class Listen(msgspec.Struct, frozen=True, tag=True):
    """The worker wants the messages of these channels from now on."""

    channels: list[str]


class Published(msgspec.Struct, frozen=True, tag=True):
    """A message of a channel."""

    channel: str
    data: bytes


class Held(msgspec.Struct, frozen=True, tag=True):
    """What a worker holds of limits that all workers share, by kind and key: only what changed, 0 for nothing."""

    counts: dict[str, dict[str, int]]


class HeldElsewhere(msgspec.Struct, frozen=True, tag=True):
    """What the other workers hold together, by kind and key: only what changed, 0 for nothing."""

    counts: dict[str, dict[str, int]]


ToWorker: TypeAlias = WorkerWelcome | WorkerStates | Reply | AskWorker | Published | HeldElsewhere
FromWorker: TypeAlias = WorkerReport | Ready | Call | Reply | Listen | Held


class FrameStream:
    """Frames over a stream: those that wait are written together. `kind` is the type of the frames that come in.

    `stuck` is set if the other end lives but does not read: this end is closed then, as if the other one had ended.
    """

    def __init__(self, stream: trio.SocketStream, kind: Any) -> None:
        self._stream = stream
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._encoder = msgspec.msgpack.Encoder()
        self._waiting = bytearray()
        self._news = trio.Event()
        self.stuck = trio.Event()

    def post(self, frame: ToWorker | FromWorker, *, droppable: bool = False) -> bool:
        """Queue a frame. Return False if it was dropped: it is `droppable` and too many wait, or the end is stuck."""
        if self.stuck.is_set() or (droppable and len(self._waiting) > QUEUE_BYTES):
            return False
        if len(self._waiting) > STUCK_BYTES:
            self.stuck.set()
            self._waiting.clear()
            self.close()
            return False
        data = self._encoder.encode(frame)
        self._waiting += _LENGTH.pack(len(data)) + data
        self._news.set()
        return True

    async def write(self) -> None:
        """Write queued frames until cancelled, or the other end is gone."""
        try:
            while True:
                await self._news.wait()
                self._news = trio.Event()
                data, self._waiting = self._waiting, bytearray()
                await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the reading side sees the end

    def close(self) -> None:
        """Close this end at once."""
        self._stream.socket.close()

    async def frames(self) -> AsyncIterator[Any]:
        """Yield the frames that come in, until the other end is gone."""
        buffer = bytearray()
        while True:
            at = 0
            while len(buffer) - at >= _LENGTH.size:
                end = at + _LENGTH.size + _LENGTH.unpack_from(buffer, at)[0]
                if end > len(buffer):
                    break
                yield self._decoder.decode(memoryview(buffer)[at + _LENGTH.size : end])
                at = end
            del buffer[:at]
            try:
                piece = await self._stream.receive_some(READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if not piece:
                return
            buffer += piece


def changed(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return the counts in `after` that differ, with 0 for those that are gone."""
    found = {key: count for key, count in after.items() if before.get(key) != count}
    return found | {key: 0 for key in before if key not in after}


def states_line(states: Sequence[WorkerState]) -> str:
    """Say which workers do not serve; empty if all do."""
    away = [f"worker {each.worker} is {each.state}" for each in states if each.state != "ready"]
    ill = [f"worker {each.worker} is {each.status}" for each in states if each.state == "ready" and each.status != "ok"]
    return ", ".join([*away, *ill])
