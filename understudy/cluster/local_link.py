"""A worker's link to the parent of all workers: the broker between them, where there is no Redis, and what only workers
of one server have to tell each other.

1. The link stands for as long as the parent lives. Its end is the end of the worker: `parent_gone` is set, and the
   worker stops in order, so that no worker outlives its parent.
2. Every call has a deadline.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

import msgspec
import trio

from understudy.cluster.broker import BLOCK_S, CALL_S, CLAIM_MS, BusEntry, TokensTaken
from understudy.cluster.local_frames import (
    AskWorker,
    Call,
    FrameStream,
    FromWorker,
    Held,
    HeldElsewhere,
    Listen,
    Published,
    Ready,
    Reply,
    ToWorker,
    WorkerReport,
    WorkerState,
    WorkerStates,
    WorkerWelcome,
    changed,
)
from understudy.storage.errors import BrokerRefused, BrokerUnavailable

GATHER_S: Final = 2.0
"""Longest wait for the metrics of the other workers."""
HELD_S: Final = 0.01
"""Shortest time between two reports of what this worker holds of shared limits."""
REPORT_S: Final = 5.0
"""Interval of reports of this worker's health, which walk its tree of actors."""
GONE: Final = "the parent of the workers is gone"


class WorkerLink:
    """Implements `understudy.cluster.broker.Broker`, and holds what the parent says of all workers.

    `states` are all workers; `elsewhere` is what the others hold of shared limits, by kind and key, and `on_elsewhere`
    is called when it changes. `metrics` returns this worker's figures as text.
    """

    def __init__(self, stream: trio.SocketStream, welcome: WorkerWelcome) -> None:
        self.welcome = welcome
        self.parent_gone = trio.Event()
        self.states: list[WorkerState] = []
        self.elsewhere: dict[str, Counter[str]] = {}
        self.on_elsewhere: list[Callable[[], object]] = []
        self.metrics: Callable[[], str] = str
        self.report: Callable[[], WorkerReport] = lambda: WorkerReport("ok", {})
        self.held: dict[str, Callable[[], Mapping[str, int]]] = {}
        self.on_change: list[Callable[[bool], None]] = []
        self.last_error = GONE
        self.database = 0
        self._frames = FrameStream(stream, ToWorker)
        self._ids = itertools.count()
        self._calls: dict[int, tuple[trio.Event, list[Reply]]] = {}
        self._takers: dict[str, list[Callable[[str, bytes], None]]] = {}
        self._held_changed = trio.Event()

    @property
    def up(self) -> bool:
        """Whether the parent lives."""
        return not self.parent_gone.is_set()

    async def wait_up(self) -> None:
        """Wait for ever if the parent is gone: it does not come back."""
        if not self.up:
            await trio.sleep_forever()

    async def run(self) -> None:
        """Exchange frames until cancelled. After the end of the parent all calls fail."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._frames.write)
            nursery.start_soon(self._report_health)
            nursery.start_soon(self._report_held)
            async for frame in self._frames.frames():
                self._take(frame)
            self.parent_gone.set()
            for heard, _ in self._calls.values():
                heard.set()
            for hear in self.on_change:
                hear(False)
            nursery.cancel_scope.cancel()

    def all_states(self) -> list[dict[str, object]]:
        """Return all workers as the parent sees them, for an operator."""
        now = time.time()
        return [
            {
                "worker": each.worker, "pid": each.pid, "state": each.state, "since_s": round(now - each.since, 1),
                "restarts": each.restarts, "status": each.status, **each.counts,
            }
            for each in self.states
        ]  # fmt: skip

    def say_ready(self, address: str) -> None:
        """Tell the parent that this worker accepts connections."""
        self._frames.post(Ready(address))

    def note_held(self) -> None:
        """Have what this worker holds of shared limits (`held`) reported soon."""
        self._held_changed.set()

    async def gather_metrics(self) -> dict[int, str]:
        """Return the metrics of the other workers by their numbers, as text; without those that do not answer."""
        found = await self._call("gather", "metrics", timeout_s=GATHER_S + CALL_S)
        return {int(number): text for number, text in found.items()}

    # the broker

    async def send(
        self,
        packets: Sequence[tuple[str, bytes]],
        published: Sequence[tuple[str, bytes]],
        acks: Mapping[str, Sequence[bytes]],
        *,
        timeout_s: float = CALL_S,
    ) -> Sequence[object]:
        """As `Broker.send`."""
        sent = await self._call("send", packets, published, acks, timeout_s=timeout_s)
        return [b"" if each else None for each in sent]

    async def open_inbox(self, node: str) -> tuple[float, bool]:
        """As `Broker.open_inbox`. The clock is this machine's, as it is for all workers."""
        made = await self._call("open_inbox", node)
        return time.time(), made

    async def read_new(self, node: str, reader: str, *, wait: bool = False) -> Sequence[BusEntry]:
        """As `Broker.read_new`."""
        return _entries(await self._call("read_new", node, reader, wait, timeout_s=CALL_S + BLOCK_S))

    async def claim(
        self, node: str, reader: str, start: str, idle_ms: int = CLAIM_MS
    ) -> tuple[str, Sequence[BusEntry]]:
        """As `Broker.claim`."""
        onward, found = await self._call("claim", node, reader, start, idle_ms)
        return onward, _entries(found)

    async def remove_if_empty(self, node: str) -> bool:
        """As `Broker.remove_if_empty`."""
        return bool(await self._call("remove_if_empty", node))

    async def inboxes(self) -> tuple[Sequence[str], float]:
        """As `Broker.inboxes`."""
        return await self._call("inboxes"), time.time()

    async def listen(
        self, channels: Sequence[str], take: Callable[[str, bytes], None], joined: Callable[[], None]
    ) -> NoReturn:
        """As `Broker.listen`; the subscription stands for as long as the parent lives."""
        for channel in channels:
            self._takers.setdefault(channel, []).append(take)
        self._frames.post(Listen(list(self._takers)))
        try:
            while self.up:
                with suppress(BrokerUnavailable):
                    await self._call("inboxes")  # answered behind the subscription
                    joined()
                    break
            await trio.sleep_forever()
        finally:
            for channel in channels:
                self._takers[channel].remove(take)
                if not self._takers[channel]:
                    del self._takers[channel]
            self._frames.post(Listen(list(self._takers)))

    async def renew_presence(self, node: str) -> bool:
        """As `Broker.renew_presence`."""
        return bool(await self._call("renew_presence", node))

    async def count(self, key: str, node: str, mine: int, cap: int, *, timeout_s: float = CALL_S) -> bool:
        """As `Broker.count`."""
        return bool(await self._call("count", key, node, mine, cap, timeout_s=timeout_s))

    async def report_counts(self, node: str, counts: Mapping[str, int]) -> None:
        """As `Broker.report_counts`."""
        await self._call("report_counts", node, counts)

    async def take_tokens(self, taken: Sequence[TokensTaken]) -> Sequence[float]:
        """As `Broker.take_tokens`."""
        rows = [(each.bucket, each.rate_per_min, each.burst, each.count) for each in taken]
        return [float(each) for each in await self._call("take_tokens", rows)]

    # frames

    async def _call(self, method: str, *arguments: Any, timeout_s: float = CALL_S) -> Any:
        """Call the parent's hub. Raises BrokerRefused for a missing inbox, BrokerUnavailable without an answer."""
        if not self.up:
            raise BrokerUnavailable(GONE)
        number = next(self._ids)
        heard, replies = self._calls[number] = trio.Event(), list[Reply]()
        self._frames.post(Call(number, method, list(arguments)))
        try:
            with trio.move_on_after(timeout_s):
                await heard.wait()
        finally:
            del self._calls[number]
        if not replies:
            raise BrokerUnavailable(f"no answer within {timeout_s:g} s" if not self.parent_gone.is_set() else GONE)
        if replies[0].error:
            raise (BrokerRefused if replies[0].refused else BrokerUnavailable)(replies[0].error)
        return replies[0].result

    def _take(self, frame: ToWorker) -> None:
        match frame:
            case Reply(id=number):
                if (waiting := self._calls.get(number)) is not None:
                    waiting[1].append(frame)
                    waiting[0].set()
            case Published(channel, data):
                for take in list(self._takers.get(channel, ())):
                    take(channel, data)
            case WorkerStates(workers):
                self.states = workers
            case AskWorker(number, "metrics"):
                self._frames.post(Reply(number, self.metrics()))
            case HeldElsewhere(counts):
                for kind, found in counts.items():
                    held = self.elsewhere.setdefault(kind, Counter())
                    held.update({key: count - held[key] for key, count in found.items()})
                    for key in [key for key in found if not held[key]]:
                        del held[key]
                for hear in self.on_elsewhere:
                    hear()
            case _:
                pass

    async def _report_health(self) -> None:
        last: FromWorker | None = None
        while True:
            if (report := self.report()) != last:
                self._frames.post(report)
                last = report
            await trio.sleep(REPORT_S)

    async def _report_held(self) -> None:
        told: dict[str, dict[str, int]] = {}
        while True:
            await self._held_changed.wait()
            self._held_changed = trio.Event()
            now = {kind: dict(read()) for kind, read in self.held.items()}
            news = {kind: changed(told.get(kind, {}), counts) for kind, counts in now.items()}
            if any(news.values()):
                self._frames.post(Held({kind: counts for kind, counts in news.items() if counts}))
            told = now
            await trio.sleep(HELD_S)


def _entries(found: Sequence[tuple[bytes, bytes]]) -> list[BusEntry]:
    return [BusEntry(entry, data) for entry, data in found]


def read_welcome(read: Callable[[int], bytes]) -> WorkerWelcome:
    """Read the first frame of the parent. `read` returns up to so many bytes; blocks.

    Raises:
        ConnectionError: The parent is gone.
    """
    size = int.from_bytes(_exactly(read, 4))
    return msgspec.msgpack.decode(_exactly(read, size), type=WorkerWelcome)


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (piece := read(size - len(data))):
            raise ConnectionError(GONE)
        data += piece
    return data
