"""What sends events to many connections all the time: an answer that is streamed, or a flow of large events."""

from __future__ import annotations

import time
from collections.abc import Sequence

import trio
from attrs import define, frozen

from actors import ActorRef
from transport.wire.events import Envelope, PartialResult
from transport.wire.messages import Deliver, SubscribeThread

from .events import STAMP, envelope


@frozen
class Rhythm:
    """What one connection is sent, every `period_s`: `pieces` of text each time, and an event every `durable_every`.

    A durable event has `events` of about `event_bytes`. Connections take turns, so that the load is even.
    """

    period_s: float
    durable_every: int
    piece: bool = False
    events: int = 1
    event_bytes: int = 300


RHYTHMS = {
    "stream": Rhythm(period_s=0.1, durable_every=10, piece=True),
    "flow": Rhythm(period_s=0.25, durable_every=1, events=5, event_bytes=4096),
}
TURNS = 10
"""In so many parts a period is divided."""


@define
class _Listener:
    outbox: ActorRef
    thread_id: str
    rhythm: Rhythm
    ticks: int = 0
    seq: int = 0
    offset: int = 0

    def tick(self) -> None:
        now = time.time()
        stamp = f"{STAMP}{now:.4f};"
        self.ticks += 1
        if self.rhythm.piece:
            text = f"{stamp} a word or two "
            event = PartialResult(text, self.offset)
            self.offset += len(text)
            self.outbox.tell(Deliver(Envelope(event, now, thread_id=self.thread_id, message_id="message-1")))
        if self.ticks % self.rhythm.durable_every == 0:
            filler = "x" * max(0, self.rhythm.event_bytes - 280)
            first, self.seq = self.seq + 1, self.seq + self.rhythm.events
            seqs = range(first, self.seq + 1)
            self.outbox.tell(Deliver(*(envelope(self.thread_id, seq, now, stamp + filler) for seq in seqs)))


class Producers:
    """Ticks each connection that was added, as its kind's rhythm says."""

    def __init__(self) -> None:
        self._listeners: dict[ActorRef, _Listener] = {}
        self._by_thread: dict[str, _Listener] = {}

    def add(self, kind: str, thread_id: str, outbox: ActorRef) -> None:
        """Send to this connection from now on. Raises KeyError for an unknown kind."""
        listener = _Listener(outbox, thread_id, RHYTHMS[kind])
        self._listeners[outbox] = self._by_thread[thread_id] = listener
        outbox.tell(SubscribeThread(thread_id, 0, 0))

    def remove(self, outbox: ActorRef) -> None:
        """The connection has ended; one that was never added is no error."""
        listener = self._listeners.pop(outbox, None)
        if listener is not None:
            del self._by_thread[listener.thread_id]

    def head(self, thread_id: str) -> int:
        """The last `seq` of a thread; 0 when nothing of it was produced here."""
        listener = self._by_thread.get(thread_id)
        return 0 if listener is None else listener.seq

    async def run(self) -> None:
        """Send until cancelled. A turn that comes late is not made up for by two at once."""
        turn = 0
        while True:
            listeners = list(self._listeners.values())
            period_s = listeners[0].rhythm.period_s if listeners else 0.05
            began = trio.current_time()
            await self._turn(listeners[turn % TURNS :: TURNS])
            turn += 1
            await trio.sleep_until(max(began + period_s / TURNS, trio.current_time()))

    async def _turn(self, listeners: Sequence[_Listener]) -> None:
        for number, listener in enumerate(listeners):
            listener.tick()
            if number % 10 == 9:
                await trio.lowlevel.checkpoint()
