"""Server-sent events: how an event looks in a `text/event-stream`, and the sink that is read as such a stream.

The format is the WHATWG HTML standard's, section 9.2. A stream ends without a close code: what a client has to know it
is told in the last events, and whether it may come back by the answer it gets when it does.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Final

import trio

from transport.wire.errors import CommandRejected, SocketClosed
from transport.wire.events import Drain, Envelope

CONTENT_TYPE: Final = "text/event-stream"
# What a proxy must be told, lest it keeps events until it has many: nginx knows the second by that name.
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
# How long a client is asked to wait before it comes back, in seconds; browsers take 3 unless told.
RETRY_S: Final = 2.0
MAX_LAST_ID: Final = 2**53


def block(data: bytes, *, event: str = "", last_id: int | None = None, retry_s: float | None = None) -> bytes:
    """One event of a stream. `data` is one line, such as JSON as it is encoded here; `retry_s` in seconds.

    Raises ValueError for `data` with a line break, which would end its line.
    """
    if b"\n" in data or b"\r" in data:
        raise ValueError("the data of an event is one line")
    lines = []
    if retry_s is not None:
        lines.append(b"retry: %d" % math.ceil(retry_s * 1000))
    if last_id is not None:
        lines.append(b"id: %d" % last_id)
    if event:
        lines.append(b"event: " + event.encode("ascii"))
    return b"\n".join([*lines, b"data: " + data, b"", b""])


def comment(text: str) -> bytes:
    """A line that clients ignore, and that keeps a connection from looking idle."""
    return f": {text}\n\n".encode()


def framed(envelope: Envelope, body: bytes) -> bytes:
    """An encoded event as a block: its type, and for a durable one its `seq` as the id.

    A drain tells the client when to come back, in the words of the format too.
    """
    event = envelope.event
    retry_s = event.reconnect_after_s if isinstance(event, Drain) else None
    return block(body, event=event.type, last_id=envelope.seq, retry_s=retry_s)


def start_after(last_event_id: str | None, after: str | None) -> int:
    """The `seq` that a client has, from its `Last-Event-ID` header or else its query; 0 when it names none.

    A client that comes back by itself repeats its first address, so the header is the newer of the two. Raises
    CommandRejected `invalid_command` for what is no such number.
    """
    given = last_event_id or after
    if not given:
        return 0
    if not (given.isascii() and given.isdigit()) or len(given) > 16 or int(given) > MAX_LAST_ID:
        name = "Last-Event-ID" if last_event_id else "after"
        raise CommandRejected("invalid_command", f"{name} must be a whole number, 0 or more.")
    return int(given)


def as_json(value: object) -> bytes:
    """JSON in one line, as UTF-8; for what is not an event of the vocabulary. Half a surrogate pair becomes `?`."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class EventStream:
    """A `transport.outbox.sink.Sink` whose payloads are read as the body of an HTTP answer: iterate it, then
    `aclose`.

    What was written is given out whole at the next step of the iteration, so a writer is never more than two writes
    ahead of its reader. After `beat_s` seconds without anything to give, `beat()` is given. A reader that takes
    nothing of a write for `write_s` seconds ends it with 1013.
    """

    def __init__(self, beat: Callable[[], bytes], *, beat_s: float, write_s: float, head: bytes = b"") -> None:
        self.code: int | None = None
        self.reason = ""
        self.begun = False
        self._beat = beat
        self._beat_s = beat_s
        self._write_s = write_s
        self._waiting: list[bytes] = [head] if head else []
        self._given = trio.Event()
        self._taken = trio.Event()
        self._closed = trio.Event()
        self._left = trio.Event()

    @property
    def open(self) -> bool:
        """Whether neither side has ended it."""
        return self.code is None

    # The writing side

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Take payloads; whether the reader has had all that came before. Raises SocketClosed when it has ended."""
        if self.code is not None:
            raise SocketClosed(self.code, self.reason)
        in_step = not self._waiting
        self._waiting += payloads
        self._given.set()
        return in_step

    async def write(self, payloads: Sequence[bytes]) -> None:
        """Take payloads, and return when the reader has them and all before. Raises SocketClosed."""
        self.write_now(payloads)
        with trio.move_on_after(self._write_s) as limit:
            while self._waiting and self.code is None:
                self._taken = trio.Event()
                await self._taken.wait()
        if limit.cancelled_caught:
            self._end(1013, "the client does not read")
        await trio.lowlevel.checkpoint()
        if self.code is not None:
            raise SocketClosed(self.code, self.reason)

    async def close(self, code: int = 1000, reason: str = "", *, within_s: float = 2.0) -> None:
        """Let the reader have what waits, for at most `within_s` seconds, then end; harmless a second time."""
        self._end(code, reason)
        if self.begun:
            with trio.move_on_after(within_s):
                await self._left.wait()
        await trio.lowlevel.checkpoint()

    async def wait_closed(self) -> None:
        """Wait until either side has ended it."""
        await self._closed.wait()

    # The reading side

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> bytes:
        self.begun = True
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            if self.code is not None:
                raise StopAsyncIteration
            self._given = trio.Event()
            with trio.move_on_after(self._beat_s) as quiet:
                await self._given.wait()
            if quiet.cancelled_caught and not self._waiting and self.code is None:
                return self._beat()
        whole = b"".join(self._waiting)
        self._waiting.clear()
        self._taken.set()
        return whole

    async def aclose(self) -> None:
        """The reader takes no more: the answer is complete, or its client has left. Waits for nothing."""
        self._end(1006, "connection lost")
        self._waiting.clear()
        self._left.set()

    def _end(self, code: int, reason: str) -> None:
        if self.code is None:
            self.code, self.reason = code, reason
        for event in (self._given, self._taken, self._closed):
            event.set()
