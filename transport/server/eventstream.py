"""Server-sent events: the `text/event-stream` encoding, and a sink whose payloads are the body of such a response.

The format is that of the WHATWG HTML standard, section 9.2. A stream has no close code: the last events say why it
ends, and the response to the next request says whether the client may reconnect.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol, Self

import trio

from transport.wire.codec import WrapFrame
from transport.wire.dialects import CANONICAL, Dialect
from transport.wire.errors import CommandRejected, SocketClosed
from transport.wire.events import Drain, Envelope

CONTENT_TYPE: Final = "text/event-stream"
# Stop proxies from buffering events; `X-Accel-Buffering` is nginx's header.
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
# Delay in seconds before a client reconnects, sent as `retry`. Browsers default to 3.
RETRY_S: Final = 2.0
MAX_LAST_ID: Final = 2**53  # the largest integer up to which JavaScript's numbers are exact
WRITE_S: Final = 60.0
"""Seconds for one write of about 16 KiB. A client that reads nothing at all is dropped much earlier."""


def encode_block(data: bytes, *, event: str = "", last_id: int | None = None, retry_s: float | None = None) -> bytes:
    """Encode one event of a stream. `data` is a single line; `retry_s` is in seconds.

    Raises ValueError if `data` holds a line break.
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


def encode_comment(text: str) -> bytes:
    """Encode a comment line, which clients ignore; it keeps proxies from seeing an idle connection."""
    return f": {text}\n\n".encode()


def encode_event(envelope: Envelope, body: bytes) -> bytes:
    """Encode an event as a block with its type, and its `seq` as the id if it is durable.

    A `Drain` also sets the reconnection delay (`retry`).
    """
    event = envelope.event
    retry_s = event.reconnect_after_s if isinstance(event, Drain) else None
    return encode_block(body, event=event.type, last_id=envelope.seq, retry_s=retry_s)


def parse_last_event_id(last_event_id: str | None, after: str | None) -> int:
    """Return the `seq` to start after, from the `Last-Event-ID` header or else the query; 0 if neither is given.

    A client that reconnects by itself repeats its first URL, so the header is the newer of the two. Raises
    CommandRejected `invalid_command` if the value is not such a number.
    """
    text = last_event_id or after
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 16 or int(text) > MAX_LAST_ID:
        name = "Last-Event-ID" if last_event_id else "after"
        raise CommandRejected("invalid_command", f"{name} must be a whole number, 0 or more.")
    return int(text)


def encode_json(value: object) -> bytes:
    """Encode a value that is not an `Event` as one line of UTF-8 JSON. A lone surrogate becomes `?`."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class StreamOutput(Protocol):
    """Receives the payloads of a stream in place of a reader that iterates."""

    def send_now(self, payloads: Sequence[bytes]) -> bool:
        """Send payloads as far as possible without waiting. Return whether everything was sent."""

    async def flush(self) -> None:
        """Return when everything was sent, or the stream has ended because that is impossible."""

    def on_end(self) -> None:
        """Note that the stream has ended."""


class EventStream:
    """A `transport.outbox.outbox.Sink` that is read as the body of an HTTP response: iterate it, then `aclose`.

    Each step of the iteration returns everything that was written, so a writer is at most two writes ahead of its
    reader. After `beat_s` seconds without payloads a step returns `beat()`. If the reader takes nothing of a write for
    `write_s` seconds, the stream ends with 1013. `on_end` is called when either side has ended the stream. `wrap_frame`
    makes a payload of an event that is encoded in `dialect`.

    Instead of iterating, `attach` an output, which takes every payload as it is written.
    """

    wrap_frame: WrapFrame | None = staticmethod(encode_event)
    dialect: Dialect = CANONICAL

    def __init__(
        self, beat: Callable[[], bytes], *, beat_s: float = math.inf, write_s: float = WRITE_S, head: bytes = b""
    ) -> None:
        self.code: int | None = None
        self.reason = ""
        self.reading = False
        self.beat = beat
        self.beat_s = beat_s
        self.on_end: Callable[[], object] | None = None
        self._write_s = write_s
        self._output: StreamOutput | None = None
        self._queue: list[bytes] = [head] if head else []
        # Each event is created by a task that waits for it: a stream with an output needs none.
        self._queued: trio.Event | None = None
        self._taken: trio.Event | None = None
        self._reader_left: trio.Event | None = None
        self._left = False

    @property
    def open(self) -> bool:
        """Whether neither side has ended the stream."""
        return self.code is None

    # The writing side

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Queue payloads. Return whether the reader had taken all earlier ones. Raises SocketClosed after the end."""
        if self.code is not None:
            raise SocketClosed(self.code, self.reason)
        if self._output is not None:
            return self._output.send_now(payloads)
        in_step = not self._queue
        self._queue += payloads
        _wake(self._queued)
        return in_step

    async def write(self, payloads: Sequence[bytes]) -> None:
        """Queue payloads and wait until the reader has taken them and all earlier ones. Raises SocketClosed."""
        self.write_now(payloads)
        with trio.move_on_after(self._write_s) as limit:
            while self._queue and self.code is None:
                self._taken = trio.Event()
                await self._taken.wait()
            if self._output is not None:
                await self._output.flush()
        if limit.cancelled_caught:
            self.end(1013, "the client does not read")
        await trio.lowlevel.checkpoint()
        if self.code is not None:
            raise SocketClosed(self.code, self.reason)

    async def close(self, code: int = 1000, reason: str = "", *, within_s: float = 2.0) -> None:
        """End the stream after waiting at most `within_s` seconds for the reader to take the queue. Idempotent."""
        self.end(code, reason)
        if self.reading and not self._left:
            if self._reader_left is None:
                self._reader_left = trio.Event()
            with trio.move_on_after(within_s):
                await self._reader_left.wait()
        await trio.lowlevel.checkpoint()

    # The reading side

    def attach(self, output: StreamOutput) -> None:
        """Hand the queued payloads to `output`, and every payload from now on."""
        self.reading = True
        self._output = output
        output.send_now([self.take()])

    def take(self) -> bytes:
        """Remove and return the queued payloads, joined."""
        whole = b"".join(self._queue)
        self._queue.clear()
        _wake(self._taken)
        return whole

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self.reading = True
        await trio.lowlevel.checkpoint()
        while not self._queue:
            if self.code is not None:
                raise StopAsyncIteration
            self._queued = trio.Event()
            with trio.move_on_after(self.beat_s) as quiet:
                await self._queued.wait()
            if quiet.cancelled_caught and not self._queue and self.code is None:
                return self.beat()
        return self.take()

    async def aclose(self) -> None:
        """End the reading side: the response is complete or its client has disconnected. Does not wait."""
        self.end(1006, "connection lost")
        self._queue.clear()
        self._left = True
        _wake(self._reader_left)

    def end(self, code: int, reason: str) -> None:
        """End the stream, unless it has ended. Queued payloads can still be read."""
        if self.code is not None:
            return
        self.code, self.reason = code, reason
        _wake(self._queued)
        _wake(self._taken)
        if self._output is not None:
            self._output.on_end()
        if self.on_end is not None:
            self.on_end()


def _wake(waiting: trio.Event | None) -> None:
    if waiting is not None:
        waiting.set()
