"""HTTP/2 (RFC 9113) on one TLS connection: the h2 library's state machine, and hypercorn's ASGI side of a request.

hypercorn's own HTTP/2 is not used. It stops reading a connection while one request leaves its body unread, waits for
ever for a client that opens no window, offers WebSockets over HTTP/2, and ends running responses when it closes. Here

1. a client never holds more than MAX_STREAMS requests' tasks, also if it resets streams faster than they end;
2. a body that the application has not read is bounded by WINDOW, for all streams together: the window is opened again
   as the application reads;
3. the application's own task sends its response, a frame at a time: nothing is queued but that frame;
4. a stream whose client takes less than PROGRESS bytes in `write_s` seconds is reset, and a client that takes nothing
   at all is dropped (`ReplayStream`);
5. a connection without requests is closed after `keep_alive_s` seconds, one with an unfinished header block too.

What frames a client may send is decided by `transport.server.http2_frames`.
"""

import logging
import math
import re
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hypercorn.config import Config
from hypercorn.protocol.events import Body, EndBody, Request, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import filter_pseudo_headers, parse_socket_addr

from transport.server.connection_limiter import ConnectionPermit
from transport.server.http2_frames import MAX_FRAME, FrameMeter, FrameRefused
from transport.server.replay_stream import ReplayStream
from transport.server.request_head import METHODS

MAX_STREAMS: Final = 100
"""Requests of one connection at once. Clients may assume 100 until they are told otherwise (RFC 9113 section 6.5.2)."""
WINDOW: Final = 256 * 1024
"""Bytes of request bodies that a client may send ahead of the application, on one stream and on all together."""
PROGRESS: Final = 4 * 1024
"""Bytes of a response that a client must take within `write_s` seconds."""
ENCODER_TABLE: Final = 4096
"""Bytes of the table that compresses responses' headers, whatever the client allows: RFC 7541's default."""
CLOSED_STREAMS: Final = 1000
"""Closed streams that are remembered, to tell late frames of a reset stream from an error."""
LINGER_S: Final = 1.0
LINGER_BYTES: Final = 1024 * 1024
"""After a GOAWAY the server discards bytes for so long, and so many, lest a TCP reset overtakes it."""
_READ_BYTES: Final = 16 * 1024
_PATH: Final = re.compile(rb"/[!-~]*|\*")
_GOAWAY: Final = struct.Struct(">BHBBIII")  # RFC 9113 section 6.8: a frame head and its payload

log: Final = logging.getLogger("transport.server.http2")


class _StateMachine(H2Connection):
    """The state of a server's connection. Offers no WebSockets (RFC 8441)."""

    MAX_CLOSED_STREAMS = CLOSED_STREAMS

    def __init__(self, head_bytes: int) -> None:
        super().__init__(H2Configuration(client_side=False, header_encoding=None))
        self.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: head_bytes,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
                SettingCodes.MAX_FRAME_SIZE: MAX_FRAME,
            },
        )
        self.decoder.max_header_list_size = 2 * head_bytes  # a head that is a little too long is answered with 431
        self.initiate_connection()
        self.increment_flow_control_window(WINDOW - self.inbound_flow_control_window)

    def bound_encoder(self) -> None:
        """Keep the encoder's table, and the changes of its size that it has to tell, bounded."""
        if self.encoder.header_table_size > ENCODER_TABLE:
            self.encoder.header_table_size = ENCODER_TABLE
        changes = self.encoder.table_size_changes
        changes[:] = sorted({min(changes), changes[-1]}) if changes else []


class _Exchange:
    """One request and its response. `received`: the request is complete; `closed`: nothing more is sent or told."""

    def __init__(self, stream_id: int, acknowledge: Callable[["_Exchange"], Awaitable[None]]) -> None:
        self.asgi: HTTPStream
        self.stream_id = stream_id
        self.received = False
        self.ended = False
        self.closed = False
        self.unread = 0
        self.writable = trio.Event()
        self._acknowledge = acknowledge
        self._body = bytearray()
        self._told_end = False
        self._told_closed = False
        self._changed = trio.Event()

    def add(self, data: bytes, counted: int) -> None:
        """Append to the body. `counted`: the bytes by which the windows shrank."""
        self._body += data
        self.unread += counted
        self._changed.set()

    def finish_request(self) -> None:
        """Mark the request as complete."""
        self.received = True
        self._changed.set()

    def close(self) -> None:
        """End the exchange: the client is gone, or has its response."""
        self.closed = True
        self.asgi.closed = True
        self._body.clear()
        self._changed.set()
        self.writable.set()

    async def receive(self) -> dict[str, Any]:
        """Return the application's next message. `http.disconnect` is the last, as with hypercorn; then this blocks."""
        while True:
            if self.closed and not self._told_closed:
                self._told_closed = True
                await trio.lowlevel.checkpoint()
                return {"type": "http.disconnect"}
            if not self.closed and not self._told_end and (self._body or self.received):
                message = {"type": "http.request", "body": bytes(self._body), "more_body": not self.received}
                self._told_end = self.received
                self._body.clear()
                await self._acknowledge(self)
                return message
            if self._changed.is_set():
                self._changed = trio.Event()
            await self._changed.wait()


class Http2Connection:
    """Serves one connection. `refusal_headers` are those of its own responses.

    `refused` is called with the error code of a GOAWAY for a client's fault, and for a response that is not read.

    With `once` the connection is closed after one request: so a client is answered that is over a limit.
    """

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: Mapping[str, Any],
        stream: ReplayStream,
        permit: ConnectionPermit | None,
        *,
        write_s: float,
        refusal_headers: Sequence[tuple[bytes, bytes]],
        refused: Callable[[str], object],
        once: bool = False,
    ) -> None:
        head_bytes = config.h11_max_incomplete_size
        self._app = app
        self._config = config
        self._context = context
        self._state = ConnectionState(dict(state))
        self._stream = stream
        self._permit = permit
        self._write_s = write_s
        self._head_bytes = head_bytes
        self._refusal_headers = [(b"content-length", b"0"), *refusal_headers]
        self._refused = refused
        self._once = once
        self._h2 = _StateMachine(head_bytes)
        self._meter = FrameMeter(trio.current_time(), block_bytes=2 * head_bytes)
        self._exchanges: dict[int, _Exchange] = {}
        self._running = 0
        self._idle_since = trio.current_time()
        self._block_since: float | None = None
        self._draining = False
        self._lost = False
        self._reading = trio.CancelScope()
        self._writing = trio.Lock()

    async def run(self) -> None:
        """Serve until the connection ends and the application has returned from its requests."""
        try:
            socket = self._stream.socket
            self._peer, self._here = (
                parse_socket_addr(socket.family, name()) for name in (socket.getpeername, socket.getsockname)
            )
            async with trio.open_nursery() as watching:
                watching.start_soon(self._announce_drain)
                async with TaskGroup() as self._requests:
                    try:
                        await self._serve_frames()
                    finally:
                        self._forget_all()
                        self._lost = True
                        await self._stream.aclose()
                watching.cancel_scope.cancel()
        except OSError:
            pass  # the client disconnected before its address was asked for

    # Reading

    async def _serve_frames(self) -> None:
        """Read until the client leaves, breaks a rule, or has been idle for too long; then take leave of it."""
        try:
            with self._reading:
                await self._flush()
                self._set_deadline()
                while data := await self._stream.receive_some(_READ_BYTES):
                    for piece in self._meter.feed(data, trio.current_time()):
                        for event in self._h2.receive_data(piece):
                            await self._handle(event)
                        await self._flush()
                        self._set_deadline()
                return
            self._h2.close_connection()
        except FrameRefused as refused:
            self._count_refusal(refused.code, refused.reason)
            self._h2.close_connection(refused.code)
        except ProtocolError as error:  # the GOAWAY is in h2's buffer
            self._count_refusal(ErrorCodes(error.error_code), str(error))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        self._forget_all()
        await self._flush()
        await self._linger()

    async def _handle(self, event: Event) -> None:
        exchange = self._exchanges.get(getattr(event, "stream_id", None) or 0)
        match event:
            case RequestReceived():
                await self._open(event)
            case DataReceived() if exchange is not None:
                exchange.add(event.data, event.flow_controlled_length)
            case DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded() if exchange is not None:
                exchange.finish_request()
            case StreamReset() if exchange is not None:
                self._forget(exchange)
            case WindowUpdated() if exchange is not None:
                exchange.writable.set()
            case RemoteSettingsChanged() | WindowUpdated(stream_id=0):
                self._h2.bound_encoder()
                for each in self._exchanges.values():
                    each.writable.set()
            case ConnectionTerminated():
                self._forget_all()
                self._reading.cancel()

    async def _open(self, event: RequestReceived) -> None:
        """Start the application on a request, or refuse it."""
        stream_id = event.stream_id
        if self._draining or self._running >= MAX_STREAMS:
            self._meter.charge()
            with suppress(ProtocolError):  # the client has reset it meanwhile
                self._h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        headers = [(bytes(name), bytes(value)) for name, value in event.headers]
        pseudo = {name: value for name, value in headers if name.startswith(b":")}
        method, path = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
        status = self._refusal_status(headers, method, path)
        if status is not None:
            self._refuse(event, status)
            return
        exchange = _Exchange(stream_id, self._acknowledge)
        exchange.asgi = HTTPStream(
            partial(self._answer, exchange), self._config, self._context, self._requests, True, self._peer, self._here,
            self._send, stream_id,
        )  # fmt: skip
        if self._permit is not None:
            self._permit.waiting = False
        self._exchanges[stream_id] = exchange
        self._running += 1
        request = Request(
            stream_id=stream_id,
            headers=filter_pseudo_headers(headers),
            http_version="2",
            method=method.decode("ascii"),
            raw_path=path,
            state=self._state,
        )
        await exchange.asgi.handle(request)

    def _refusal_status(self, headers: list[tuple[bytes, bytes]], method: bytes, path: bytes) -> int | None:
        """Return the status that refuses a request, as for HTTP/1.1 (`RequestHead.refusal_status`), or None."""
        if sum(len(name) + len(value) for name, value in headers) > self._head_bytes:
            return 431
        if method not in METHODS:
            return 501
        return None if _PATH.fullmatch(path) else 400

    def _refuse(self, event: RequestReceived, status: int) -> None:
        self._meter.charge()
        fields = [*self._refusal_headers, *self._config.response_headers("h2")]
        with suppress(ProtocolError):  # the client has reset the stream meanwhile
            self._h2.send_headers(event.stream_id, [(b":status", b"%d" % status), *fields], end_stream=True)
            if event.stream_ended is None:
                self._h2.reset_stream(event.stream_id)

    async def _answer(self, exchange: _Exchange, scope: Any, receive: Any, send: Any, *rest: Any) -> None:
        """Run the application. It receives from the exchange: a full queue would block the connection."""
        scope["extensions"] = {}
        try:
            await self._app(scope, exchange.receive, send, *rest)  # type: ignore[arg-type]
        finally:
            self._running -= 1

    def _set_deadline(self) -> None:
        """Bound the wait for the client's next bytes."""
        if not self._meter.in_header_block:
            self._block_since = None
        elif self._block_since is None:
            self._block_since = trio.current_time()
        since = self._block_since if self._exchanges else self._idle_since
        self._reading.deadline = math.inf if since is None else since + self._config.keep_alive_timeout

    # Writing: frames of data get into h2's buffer under the lock, so there is at most one

    async def _send(self, event: StreamEvent) -> None:
        """Take what hypercorn makes of the application's messages."""
        exchange = self._exchanges.get(event.stream_id)
        if exchange is None:
            return
        try:
            match event:
                case Response():
                    fields = [*event.headers, *self._config.response_headers("h2")]
                    self._h2.send_headers(event.stream_id, [(b":status", b"%d" % event.status_code), *fields])
                case Body():
                    await self._send_body(exchange, event.data)
                case EndBody():
                    self._h2.end_stream(event.stream_id)
                    exchange.ended = True
                    if not exchange.received:  # RFC 9113 section 8.1: the rest of the request is not wanted
                        self._h2.reset_stream(event.stream_id)
                    await self._flush()
                case StreamClosed():
                    self._finish(exchange)
                    await self._flush()
        except ProtocolError as error:
            log.error("http2.response_impossible", exc_info=error)
            self._finish(exchange)
            await self._flush()

    async def _send_body(self, exchange: _Exchange, data: bytes) -> None:
        """Send as the client's windows allow. Reset the stream if it takes less than PROGRESS bytes in `write_s`."""
        rest = memoryview(data)
        wanted, due = PROGRESS, trio.current_time() + self._write_s
        while rest:
            with trio.CancelScope(shield=True):  # `write_s` bounds the write, and the wait for those before it
                async with self._writing:
                    if exchange.closed:
                        return
                    exchange.writable = trio.Event()
                    size = min(len(rest), MAX_FRAME, self._h2.local_flow_control_window(exchange.stream_id))
                    if size > 0:
                        self._h2.send_data(exchange.stream_id, bytes(rest[:size]))
                        self._meter.data_sent()
                        await self._write()
            if size > 0:
                rest = rest[size:]
                wanted -= size
                if wanted <= 0:
                    wanted, due = PROGRESS, trio.current_time() + self._write_s
            elif not await self._window_opens(exchange, due):
                return

    async def _window_opens(self, exchange: _Exchange, due: float) -> bool:
        """Wait for a WINDOW_UPDATE. Return False if there was none until `due`, and reset the stream."""
        with trio.move_on_at(due):
            await exchange.writable.wait()
            return True
        self._count_refusal(ErrorCodes.CANCEL, "the client does not read a response")
        self._finish(exchange, ErrorCodes.CANCEL)
        await self._flush()
        return False

    def _finish(self, exchange: _Exchange, code: ErrorCodes = ErrorCodes.INTERNAL_ERROR) -> None:
        """Forget an exchange. The stream is reset unless its response is complete."""
        if not exchange.ended and not exchange.closed:
            with suppress(ProtocolError):  # the client has reset the stream
                self._h2.reset_stream(exchange.stream_id, code)
        self._forget(exchange)

    def _forget(self, exchange: _Exchange) -> None:
        if self._exchanges.pop(exchange.stream_id, None) is None:
            return
        exchange.close()
        with suppress(ProtocolError):  # the connection is over
            self._h2.acknowledge_received_data(exchange.unread, exchange.stream_id)
        if self._exchanges:
            return
        self._idle_since = trio.current_time()
        self._set_deadline()
        if self._permit is not None:
            self._permit.waiting = True
        if self._draining or self._once:
            self._reading.cancel()

    def _forget_all(self) -> None:
        for exchange in list(self._exchanges.values()):
            self._forget(exchange)

    async def _acknowledge(self, exchange: _Exchange) -> None:
        """Open the windows again by what the application has taken."""
        counted, exchange.unread = exchange.unread, 0
        if not exchange.closed and counted:
            self._h2.acknowledge_received_data(counted, exchange.stream_id)
        await self._flush()

    async def _flush(self) -> None:
        with trio.CancelScope(shield=True):
            async with self._writing:
                await self._write()

    async def _write(self, more: bytes = b"") -> None:
        data = self._h2.data_to_send() + more
        if data and not self._lost:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._lost = True
                self._reading.cancel()

    # Leaving

    async def _announce_drain(self) -> None:
        await self._context.terminated.wait()
        await self._go_away()

    async def _go_away(self) -> None:
        """Tell the client to send no more requests on this connection; close it when those that run are answered.

        h2 sends nothing after a GOAWAY of its own, so the frame is made here.
        """
        self._draining = True
        last = self._h2.highest_inbound_stream_id
        with trio.CancelScope(shield=True):
            async with self._writing:
                await self._write(_GOAWAY.pack(0, 8, 7, 0, 0, last, ErrorCodes.NO_ERROR))
        if not self._exchanges:
            self._reading.cancel()

    async def _linger(self) -> None:
        """Discard what the client still sends, so that it reads the GOAWAY before the connection is reset."""
        if self._lost:
            return
        with trio.move_on_after(LINGER_S), suppress(OSError, trio.ClosedResourceError):
            await self._stream.send_eof()
            left = LINGER_BYTES
            while left > 0 and (data := await self._stream.socket.recv(_READ_BYTES)):
                left -= len(data)

    def _count_refusal(self, code: ErrorCodes, reason: str) -> None:
        peer = self._peer[0] if self._peer else ""
        self._refused(code.name.lower())
        log.warning("http2.refused", extra={"code": code.name.lower(), "reason": reason, "peer": peer})
