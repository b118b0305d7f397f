"""As fast as it goes: fan-out and echo. Clients answer each mark with a message, and count marks without parsing."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable

import msgspec
from attrs import frozen

from .client import Client, Crowd, command, say, text_frame
from .events import BURST, MARK
from .server import Server, ServerFailed
from .sizes import Sizes

ECHO = b"x" * 100
BURSTS_AT_ONCE = 3
"""Bursts that a client asks for in one message; it has two such messages under way, so that no server waits for it."""
CHECK_S = 10.0
"""Seconds for the first events of a measurement."""


@frozen
class Work:
    """What is asked of a server: the path, the frame that asks for more, and what stands at the end of each portion.

    `weight` is how many events or messages a mark stands for; `first` is sent before anything else. `marks`: so many
    answer one frame that asks. `ahead`: so many of those are under way. `verified`: frames are events, which are looked
    at before anything is counted.
    """

    path: str
    ask: bytes
    mark: bytes
    weight: int
    first: bytes = b""
    marks: int = 1
    ahead: int = 1
    verified: bool = True


def own(*, batch: bool = False) -> Work:
    """Events of each connection's own; `batch`: the product may put several into one frame."""
    first = command("hello", batch=True) if batch else b""
    ask = say(f"own {BURSTS_AT_ONCE}")
    return Work("/events", ask, MARK.encode(), BURST, first, marks=BURSTS_AT_ONCE, ahead=2)


def together() -> Work:
    """Events of each connection's own, a burst of them in one frame: what a peer can do by hand."""
    ask = say(f"together {BURSTS_AT_ONCE}")
    return Work("/events", ask, MARK.encode(), BURST, marks=BURSTS_AT_ONCE, ahead=2)


def room(connections: int) -> Work:
    """One event to all."""
    return Work("/events", say(f"room {uuid.uuid4().hex} {connections}"), MARK.encode(), BURST)


def echo() -> Work:
    """Messages of 100 bytes there and back."""
    return Work("/echo", text_frame(ECHO), ECHO, 1, verified=False)


def rate(server: Server, work: Callable[[], Work], sizes: Sizes) -> float:
    """Events or messages for each second that the server's core worked, so that what else runs does not count.

    Raises ServerFailed when what comes is not what was asked for.
    """
    asked = work()
    with Crowd(server) as crowd:
        crowd.open([asked.path] * sizes.connections)
        if asked.first:
            crowd.send(asked.first)
        counting = _Counting(asked)
        crowd.send(asked.ask * asked.ahead)
        if asked.verified:
            _verify(crowd, asked)
        crowd.listen(sizes.warm_s, counting.take)
        before, used = counting.marks, server.cpu_s()
        end = time.monotonic() + CHECK_S
        crowd.listen(sizes.seconds, counting.take)
        while counting.marks == before and time.monotonic() < end:  # other work had the processor
            crowd.listen(sizes.seconds, counting.take)
        used = server.cpu_s() - used
        marks = counting.marks - before
    if marks == 0:
        raise server.failed("nothing came back")
    return marks * asked.weight / used


class _Counting:
    """Counts the marks, wherever reads cut them, and asks for more when a client has had all it asked for."""

    def __init__(self, work: Work) -> None:
        self.marks = 0
        self._ask = work.ask
        self._mark = work.mark
        self._each = work.marks
        self._keep = len(work.mark) - 1

    def take(self, client: Client, data: bytes) -> None:
        mark = self._mark
        if data.endswith(mark) and len(data) < 2 * len(mark):  # a single echo, whole: nothing else needs to be quick
            self.marks += 1
            client.socket.send(self._ask)
            return
        found = data.count(mark)
        if client.rest:
            # What was kept is shorter than a mark, so only one that lies across the seam is in here.
            found += (client.rest + data[: self._keep]).count(mark)
        if found:
            self.marks += found
            client.marks += found
            last = data.rfind(mark)
            tail = data[max(last + len(mark), len(data) - self._keep) :] if last >= 0 else data[-self._keep :]
            due, client.marks = divmod(client.marks, self._each)
            client.socket.send(self._ask * due)
        else:
            tail = (client.rest + data)[-self._keep :]
        client.rest = tail


def _verify(crowd: Crowd, work: Work) -> None:
    """Read one client's first burst whole: every event is there, in order, and as large as it should be."""
    client, deadline = crowd.clients[0], time.monotonic() + CHECK_S
    seqs: list[int] = []
    size = 0
    pending = client.frames(b"")
    while not seqs or seqs[-1] % BURST:
        for frame in pending:
            value = msgspec.json.decode(frame)
            for event in value if isinstance(value, list) else [value]:
                if isinstance(event, dict) and event["type"] == "agent_thinking":
                    seqs.append(event["seq"])
                    size += len(json.dumps(event, separators=(",", ":")))
        if time.monotonic() > deadline:
            raise ServerFailed(f"a burst was not complete within {CHECK_S:.0f} s")
        if seqs and seqs[-1] % BURST == 0:
            break
        client.socket.settimeout(CHECK_S)
        try:
            pending = client.frames(client.receive())
        except TimeoutError as error:
            raise ServerFailed(f"no burst came within {CHECK_S:.0f} s") from error
        finally:
            client.socket.setblocking(False)
    if seqs != list(range(1, len(seqs) + 1)):
        raise ServerFailed(f"events are missing or out of order: {seqs[:5]} … {seqs[-5:]}")
    mean = size / len(seqs)
    if not 250 <= mean <= 350:
        raise ServerFailed(f"an event has {mean:.0f} bytes, not about 300")
    client.rest = b""
    due, client.marks = divmod(len(seqs) // BURST, work.marks)
    client.socket.send(work.ask * due)
