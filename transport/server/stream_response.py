"""The response of an event stream over HTTP/1.1, written to its connection without the HTTP server.

hypercorn's connection, its tasks, and the request stay in memory for as long as a response lasts, which a stream does
for hours. Here the application answers the request, and then nothing is left but the stream and its connection.

1. The stream's writer hands bytes to the kernel itself; only what the kernel does not take waits, at most one write.
2. The connection's task reads, and so notices at once that the client has left. It also sends the heartbeats.
3. A request is answered here only if it is complete and h11 accepts it; any other one goes to the HTTP server.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import unquote

import h11
import trio
from attrs import frozen

from transport.server.connection_limiter import ConnectionPermit
from transport.server.eventstream import EventStream
from transport.server.request_head import RequestHead
from transport.server.tls import Stream, TlsStream

_READ_BYTES: Final = 4096  # most bytes of one read
_NO_BODY: Final = frozenset({204, 304})
_GONE: Final = (1006, 1013)
"""Close codes of streams whose client is lost, or does not read."""


@frozen
class StreamRequest:
    """A GET request without a body. `path` is decoded, without the `query`; `headers` have their names in lower case.

    `peer` is the client's host. `secure`: it came over TLS.
    """

    path: str
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    http_version: str
    peer: str
    secure: bool
    permit: ConnectionPermit


@frozen
class StreamAnswer:
    """The application's answer: an event stream, or a whole body such as a refusal's."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: EventStream | bytes


class StreamHandler(Protocol):
    """Answers requests for event streams."""

    def takes(self, path: bytes) -> bool:
        """Return whether this path, as it was sent, is that of an event stream."""

    async def handle_stream(self, request: StreamRequest) -> StreamAnswer:
        """Answer a request. If this raises an error, the connection is closed."""


def parse_request(head: RequestHead, peer: str, permit: ConnectionPermit, *, secure: bool) -> StreamRequest | None:
    """Return the request of a head; None unless it is a valid GET without a body, and no bytes follow it."""
    if head.rest or not head.raw.startswith(b"GET "):
        return None
    http = h11.Connection(h11.SERVER)
    try:
        http.receive_data(head.raw)
        request, end = http.next_event(), http.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(request, h11.Request) or not isinstance(end, h11.EndOfMessage):
        return None
    path, _, query = request.target.partition(b"?")
    headers = list(request.headers)
    version = request.http_version.decode()
    return StreamRequest(unquote(path.decode("ascii")), query, headers, version, peer, secure, permit)


def encode_head(answer: StreamAnswer, *, chunked: bool = False) -> bytes:
    """Encode the head of an answer after which the connection is closed. `chunked`: its body is sent in chunks."""
    fields = [*answer.headers, ("Date", formatdate(usegmt=True)), ("Connection", "close")]
    if chunked:
        fields.append(("Transfer-Encoding", "chunked"))
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields if name.lower() != "content-length"]
    if isinstance(answer.body, bytes) and answer.status not in _NO_BODY:
        lines.append(f"Content-Length: {len(answer.body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class StreamResponse:
    """Sends an event stream over its connection, and ends it when the client has left. Close it after `serve_socket`.

    `write_s`: time in seconds without progress of a write after which the client is given up. `chunked` is False for
    HTTP/1.0, whose clients take the end of the connection as the end of the stream.
    """

    __slots__ = ("_beat_at", "_buffer", "_chunked", "_events", "_lock", "_stream", "_tls", "_waiting", "_write_s")

    def __init__(self, stream: Stream, events: EventStream, head: bytes, *, chunked: bool, write_s: float) -> None:
        self._stream = stream
        self._tls = stream if isinstance(stream, TlsStream) else None
        self._events = events
        self._chunked = chunked
        self._write_s = write_s
        self._buffer = head  # bytes that the kernel has not taken
        self._beat_at = 0.0
        self._lock: trio.Lock | None = None  # created by the first write that waits: one task waits for room
        self._waiting: trio.CancelScope | None = None  # the wait of the connection's task

    async def serve_socket(self) -> None:
        """Send the payloads of the stream, and heartbeats, until the stream ends or the client leaves."""
        events = self._events
        events.attach(self)
        await self.flush()
        while events.open:
            if trio.current_time() >= self._beat_at:
                self.send_now([events.beat()])
                await self.flush()
                continue
            with trio.CancelScope(deadline=self._beat_at) as self._waiting:
                if not await self._receive():
                    await events.aclose()

    async def close(self, code: int, reason: str) -> None:
        """End the stream if it is open, and send its queued payloads unless the client is gone."""
        events = self._events
        events.end(code, reason)
        if events.code not in _GONE:
            self.send_now([events.take()])
            if self._chunked:
                self._buffer += b"0\r\n\r\n"
            await self.flush()
        await events.aclose()

    def on_end(self) -> None:
        """Wake the connection's task, as the stream has ended."""
        if self._waiting is not None:
            self._waiting.cancel()

    def send_now(self, payloads: Sequence[bytes]) -> bool:
        """Send payloads as far as the kernel takes them without waiting. Return whether everything was sent."""
        data = b"".join(payloads)
        if data:
            self._buffer += b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
        self._beat_at = trio.current_time() + self._events.beat_s
        try:
            self._send_some()
        except BlockingIOError:
            return False
        except OSError:
            self._give_up(1006, "connection lost")
        return not self._unsent

    async def flush(self) -> None:
        """Return when the kernel has taken everything, or the client was given up."""
        if not self._unsent:
            return
        if self._lock is None:
            self._lock = trio.Lock()
        async with self._lock:
            try:
                while self._unsent:
                    with trio.move_on_after(self._write_s) as stalled:
                        await trio.lowlevel.wait_writable(self._stream.socket)
                    if stalled.cancelled_caught:
                        self._give_up(1013, "the client does not read")
                    with suppress(BlockingIOError):
                        self._send_some()
            except (OSError, trio.ClosedResourceError):
                self._give_up(1006, "connection lost")

    @property
    def _unsent(self) -> bool:
        return bool(self._buffer) or (self._tls is not None and self._tls.backlog)

    def _send_some(self) -> None:
        while self._unsent:
            if self._tls is not None:
                sent = self._tls.write_now(self._buffer)
            else:
                sent = os.write(self._stream.socket.fileno(), self._buffer)
            self._buffer = self._buffer[sent:]

    def _give_up(self, code: int, reason: str) -> None:
        self._buffer = b""
        self._events.end(code, reason)

    async def _receive(self) -> bytes:
        """Return bytes from the client, whose content is ignored; b"" if the client has left."""
        try:
            await trio.lowlevel.wait_readable(self._stream.socket)
            return await self._stream.receive_some(_READ_BYTES)
        except (OSError, trio.ClosedResourceError, trio.BrokenResourceError):
            return b""
