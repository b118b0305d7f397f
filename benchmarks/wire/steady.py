"""How late events are while they come steadily: a thousand streamed answers, and readers beside clients that stall."""

from __future__ import annotations

import re
import sys
import time

from attrs import frozen

from .client import Client, Crowd, say
from .events import STAMP
from .server import Server
from .sizes import Sizes

_BEGIN = STAMP.encode()
_LONGEST = 24
_STAMP = re.compile(rb"%b(\d+\.\d+);" % STAMP.encode())


class Lateness:
    """Seconds from the making of an event to its receipt, by one clock for both: the machine's.

    Only the first stamp of what was read at once is looked at: nothing in it is older. Of clients from number
    `looked_at` on nothing is.
    """

    def __init__(self, looked_at: int = sys.maxsize) -> None:
        self.late_s: list[float] = []
        self.events = 0
        self._looked_at = looked_at

    def take(self, client: Client, data: bytes) -> None:
        """What a client has received."""
        now = time.time()
        if client.number >= self._looked_at:
            return
        data = client.rest + data
        found = _STAMP.search(data)
        # What may be the beginning of a stamp is kept for the next read.
        begun = data.rfind(_BEGIN, -_LONGEST)
        client.rest = b"" if begun < 0 or data.find(b";", begun) >= 0 else data[begun:]
        if found is not None:
            self.events += data.count(_BEGIN) - bool(client.rest)
            self.late_s.append(now - float(found[1]))

    def p99_s(self, server: Server, least: int) -> float:
        """The 99th of a hundred; raises ServerFailed when fewer than `least` events came, or one before it was made."""
        if self.events < least:
            raise server.failed(f"{self.events} events came, where {least} or more should have")
        ranked = sorted(self.late_s)
        if ranked[0] < 0:
            raise server.failed("an event came before it was made")
        return ranked[int(len(ranked) * 0.99)]


@frozen
class Streamed:
    """`p99_s` from making to receipt, and how many events a second there were."""

    p99_s: float
    events_per_s: float


def streamed(server: Server, sizes: Sizes) -> Streamed:
    """Each client has a streaming answer: ten pieces a second, and a durable event a second beside them."""
    with Crowd(server) as crowd:
        crowd.open(["/events"] * sizes.streams)
        _start(crowd, "stream")
        crowd.listen(1.0, Lateness().take)
        lateness = Lateness()
        seconds = crowd.listen(sizes.stream_s, lateness.take)
        expected = int(sizes.streams * 11 * sizes.stream_s)
        return Streamed(lateness.p99_s(server, expected // 4), lateness.events / seconds)


@frozen
class Stalled:
    """What a client that never reads holds, in bytes, and the others' p99 before and while there are such, in s."""

    bytes: float
    calm_p99_s: float
    stalled_p99_s: float


def stalled(server: Server, sizes: Sizes) -> Stalled:
    """20 events of 4 KiB a second to each client: first all read, then most stop."""
    readers = sizes.readers
    with Crowd(server) as crowd:
        crowd.open(["/events"] * (readers + sizes.stalled))
        _start(crowd, "flow")
        calm, late = Lateness(readers), Lateness(readers)
        crowd.listen(1.0, Lateness(readers).take)
        crowd.listen(sizes.steady_s, calm.take)
        before = server.memory()
        for client in crowd.clients[readers:]:
            crowd.forget(client)
        crowd.listen(sizes.stall_s - sizes.steady_s, Lateness(readers).take)
        crowd.listen(sizes.steady_s, late.take)
        grown = server.memory() - before
        least = int(readers * 20 * sizes.steady_s) // 4
        return Stalled(grown / sizes.stalled, calm.p99_s(server, least), late.p99_s(server, least))


def _start(crowd: Crowd, kind: str) -> None:
    for client in crowd.clients:
        client.rest = b""
    crowd.send(say(kind))
