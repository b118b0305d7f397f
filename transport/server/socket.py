"""One WebSocket, server side, over a TCP or TLS stream: `websockets`' sans-IO protocol on trio.

1. Bytes are sent in whole frames. A cancelled write is finished before anything else is sent.
2. Once either side has sent its close frame, nothing is queued behind it, not even a pong.
3. A client that does not read costs a bounded kernel buffer and its own connection; it delays no other client.
4. After a protocol error the client's remaining bytes are read and discarded before the connection ends, lest a reset
   overtakes the close frame.
"""

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio
from attrs import frozen
from websockets.exceptions import ProtocolError
from websockets.extensions import Extension
from websockets.protocol import State

from transport.server.tls import Stream, TlsStream, close_now
from transport.server.websocket import (
    BINARY,
    DEFLATED,
    TEXT,
    Message,
    ServerSideProtocol,
    frame_boundary,
    frame_head,
    negotiated_deflate,
)
from transport.wire.errors import CommandRejected, SocketClosed
from transport.wire.payloads import Binary

_LOST: Final = (OSError, trio.ClosedResourceError, trio.BrokenResourceError)
_PING: Final = b"?"  # distinguishes its pong from unsolicited ones
_READ_BYTES: Final = 16 * 1024  # most bytes of one read between messages
_READ_ON_BYTES: Final = 64 * 1024  # most bytes of one read in the middle of a message
# RFC 6455 section 5.5: a control frame carries 125 bytes, two of which are the close code.
_MAX_REASON_BYTES: Final = 123
# Extra send buffer for the last frame, in bytes: the kernel counts its own overhead, and lets the send that fills the
# buffer exceed it.
_LAST_ROOM_BYTES: Final = 256 * 1024


@frozen
class SocketLimits:
    """Bounds of one WebSocket; sizes in bytes, times in seconds.

    `message_bytes`: a larger message is refused and the socket stays open. `bound_bytes`: a larger one closes the
    socket with 1009. `message_s`: deadline for the rest of a message that was begun (1008). `write_s`: a write without
    progress for that long closes the socket with 1013. `close_s`: deadline of the closing handshake. `quiet_s` and
    `discard_bytes`: after a protocol error the stream ends once the client has been silent for `quiet_s`, or has sent
    `discard_bytes` more. `send_buffer_bytes`: the kernel's send buffer; a fixed size keeps a stalled client cheap, and
    can be enlarged for the close frame. `compression_from_bytes`: permessage-deflate is negotiated, and text of at
    least that size is sent compressed; None for no compression. Sizes are those after inflating.
    """

    message_bytes: int = 256 * 1024
    bound_bytes: int = 1024 * 1024
    message_s: float = 30.0
    write_s: float = 20.0
    close_s: float = 5.0
    quiet_s: float = 0.25
    discard_bytes: int = 32 * 1024 * 1024
    send_buffer_bytes: int = 64 * 1024
    compression_from_bytes: int | None = None


class Socket:
    """An accepted WebSocket. One task may be in `receive`; `write`, `ping` and `close` may be called from any task.

    `code` and `reason` say how it was closed: the client's if the client closed first, else ours; 1006 if the
    connection was lost; None while it is open. `rtt_s` is the time from the last answered ping to its pong, in seconds;
    None before the first. The connection's actor clears it once it has been counted.
    """

    __slots__ = (
        "_buffer", "_close_frame", "_close_queued", "_closed", "_closed_event", "_closing", "_deflate",
        "_last_read_at", "_limits", "_lock", "_pinged_at", "_protocol", "_reading", "_sent", "_stall_scope", "_stream",
        "_tls", "_unfinished_since", "_waiting", "rtt_s", "subprotocol",
    )  # fmt: skip

    def __init__(
        self,
        stream: Stream,
        limits: SocketLimits,
        *,
        subprotocol: str | None = None,
        extensions: Sequence[Extension] = (),
        rest: bytes = b"",
    ) -> None:
        self.subprotocol = subprotocol
        """The subprotocol that was selected in the handshake."""
        self.rtt_s: float | None = None
        self._stream = stream
        self._tls = stream if isinstance(stream, TlsStream) else None
        self._limits = limits
        self._protocol = ServerSideProtocol(limits.message_bytes, limits.bound_bytes, extensions, rest)
        self._deflate = negotiated_deflate(extensions, limits.compression_from_bytes)
        # Held while a task waits for the kernel to take bytes; created by the first that does.
        self._lock: trio.Lock | None = None
        self._waiting: list[bytes] = []  # frames, or parts of one, to be sent after those of `_buffer`
        self._buffer = b""  # whole frames, of which `_sent` bytes were sent
        self._sent = 0
        self._stall_scope: trio.CancelScope | None = None
        self._unfinished_since: float | None = None
        self._reading = self._closing = False
        self._close_queued = False
        self._close_frame = b""
        self._closed = False
        self._closed_event: trio.Event | None = None  # created on the first wait: most sockets are never waited for
        self._last_read_at = trio.current_time()
        self._pinged_at: float | None = None
        stream.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, limits.send_buffer_bytes)

    @property
    def open(self) -> bool:
        """Whether neither side has begun to close."""
        return not self._close_queued

    @property
    def code(self) -> int | None:
        """The close code; None while the socket is open."""
        return self._close_code_and_reason()[0] if self._close_queued else None

    @property
    def reason(self) -> str:
        """The reason that came with the close code."""
        return self._close_code_and_reason()[1] if self._close_queued else ""

    @property
    def silent_s(self) -> float:
        """Seconds since the last bytes from the client, of any kind of frame."""
        return trio.current_time() - self._last_read_at

    def _close_code_and_reason(self) -> tuple[int, str]:
        protocol = self._protocol
        close = protocol.close_rcvd if protocol.close_rcvd_then_sent else protocol.close_sent
        return (1006, "connection lost") if close is None else (int(close.code), close.reason)

    def _closed_error(self) -> SocketClosed:
        return SocketClosed(*self._close_code_and_reason())

    async def receive(self) -> Message:
        """Receive the next complete message, text as str.

        Raises SocketClosed if either side has closed the socket, and CommandRejected(`message_too_large`) for a message
        over `message_bytes`, after which the socket can still be used.
        """
        while not self._close_queued:
            if self._unsent:  # pongs: nothing more is read from a client that does not take them
                with suppress(SocketClosed):
                    await self._flush()
                continue  # the flush may have closed the socket
            if self._protocol.has_buffered:
                message = await self._parse_buffered()
            elif self._unfinished_since is not None:
                message = await self._read_on(self._unfinished_since + self._limits.message_s)
            elif self._tls is not None:
                message = self._parse(await self._receive_some(_READ_BYTES))
            else:  # waits here: each idle connection would keep the coroutine of `_receive_some`
                self._reading = True
                try:
                    await trio.lowlevel.wait_readable(self._stream.socket)
                    data = self._read_now(_READ_BYTES)
                except _LOST:
                    data = b""
                finally:
                    self._reading = False
                message = None if data is None else self._parse(data)
            if isinstance(message, CommandRejected):
                raise message
            if message is not None:
                return message
        await self.close()
        raise self._closed_error()

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Send payloads as far as the kernel takes them without waiting. Return whether everything was sent.

        The rest is sent first by the next `write`, which may be one of no payloads. Raises SocketClosed if the socket
        is closed.
        """
        if self._close_queued:
            raise self._closed_error()
        add, deflate = self._waiting.append, self._deflate
        for payload in payloads:
            if type(payload) is Binary:
                add(frame_head(BINARY, len(payload)))
            elif deflate is not None and (small := deflate.compress(payload)) is not None:
                payload = small
                add(frame_head(DEFLATED, len(small)))
            else:
                add(frame_head(TEXT, len(payload)))
            add(payload)
        if self._lock is not None and self._lock.locked():
            return False
        try:
            return self._send_some()
        except BlockingIOError:
            return False
        except OSError:
            self._drop()
            raise self._closed_error() from None

    async def write(self, payloads: Sequence[bytes]) -> None:
        """Send each payload as a frame, all in one write, and return when the kernel has taken them.

        A payload is UTF-8 and sent as text, or a `Binary`. Raises SocketClosed if the socket is closed, or the write
        made no progress for `write_s`. The next write finishes a cancelled one. A checkpoint only if the kernel makes
        it wait.
        """
        done = self.write_now(payloads)
        await trio.lowlevel.checkpoint_if_cancelled()
        if not done:
            await self._flush()
            if self._closed:
                raise self._closed_error()

    def ping(self) -> None:
        """Send a ping after any write in progress, and measure the time to its pong. No-op on a closed socket.

        A ping that the kernel does not take at once is sent with the next write.
        """
        if self._close_queued:
            return
        self._protocol.send_ping(_PING)
        self._queue_protocol_output()
        self._pinged_at = trio.current_time()
        with suppress(SocketClosed):
            self.write_now(())

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close after delivering earlier writes, and return when the TCP connection is closed.

        Takes at most `close_s`. Raises nothing; a second call waits for the first.
        """
        if not self._close_queued:
            self._protocol.send_close(code, reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore"))
            self._queue_protocol_output()
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        if self._protocol.state is State.CLOSED and not (self._unsent or self._reading):
            self._drop()  # the connection is lost: no closing handshake
            return
        try:
            with trio.move_on_after(self._limits.close_s), suppress(SocketClosed):
                await self._flush()
                await self._await_close_frame()
            if self._stall_scope is not None:  # wait for the client no longer
                self._stall_scope.cancel()
            self._lock = self._lock or trio.Lock()
            async with self._lock:
                await self._send_close_and_discard()
        finally:
            self._drop()

    async def wait_closed(self) -> None:
        """Wait until another task has closed the socket, and the TCP connection is gone."""
        if not self._closed:
            if self._closed_event is None:
                self._closed_event = trio.Event()
            await self._closed_event.wait()

    async def _await_close_frame(self) -> None:
        """Wait for the client's half of the closing handshake; discard anything else that it sends."""
        if self._reading or self._closing:
            await self.wait_closed()
            return
        self._closing = True
        while not self._protocol.eof_sent:
            if self._protocol.has_buffered:
                await self._parse_buffered()
            else:
                self._parse(await self._receive_some(_READ_ON_BYTES))
        if self._protocol.close_rcvd is None:
            await self._discard_after_fault()

    async def _discard_after_fault(self) -> None:
        """Read and discard a client's bytes after its protocol error: many clients fail at an end in mid-write.

        The protocol parses nothing after an error, so the client's close frame goes unseen; its silence ends the wait.
        """
        left = await self._discard(self._limits.discard_bytes, self._limits.quiet_s)
        if self._tls is not None:
            self._tls.end()
        else:
            with suppress(OSError, trio.ClosedResourceError):
                self._stream.socket.shutdown(trio.socket.SHUT_WR)
        await self._discard(left, math.inf)

    async def _discard(self, left: int, quiet_s: float) -> int:
        """Read until the client ends the stream, is silent for `quiet_s`, or has sent `left` bytes. Return the rest."""
        while left > 0 and self._protocol.state is not State.CLOSED:
            with trio.move_on_after(quiet_s) as quiet:
                data = await self._receive_some(_READ_ON_BYTES)
            if quiet.cancelled_caught:
                break
            left -= len(data)
            if not data:
                self._on_lost()
        return left

    async def _parse_buffered(self) -> Message | CommandRejected | None:
        """Parse bytes that were received with earlier ones."""
        await trio.lowlevel.checkpoint()  # a burst of frames in one read must not hold up other tasks
        return None if self._closed else self._parse(None)

    async def _read_on(self, deadline: float) -> Message | CommandRejected | None:
        """Receive more of a message that has begun, and fail if it is not finished by the deadline."""
        with trio.CancelScope(deadline=deadline) as scope:
            data = await self._receive_some(_READ_ON_BYTES)
        if scope.cancelled_caught:
            self._fail(1008, "a message was not finished in time")
            return None
        return self._parse(data)

    def _parse(self, data: bytes | None) -> Message | CommandRejected | None:
        """Parse received bytes, b"" at the end of the stream; None: bytes that were received with earlier ones.

        Send the protocol's replies. Return a complete message.
        """
        protocol = self._protocol
        if data:
            self._last_read_at = trio.current_time()
        elif data is not None:
            self._on_lost()
            return None
        message = protocol.feed(data or b"")
        if protocol.writes:
            self._queue_protocol_output()
            if message is not None and not self._close_queued:
                with suppress(SocketClosed):
                    self.write_now(())
        if protocol.pong is not None:
            if protocol.pong == _PING and self._pinged_at is not None:
                self.rtt_s = self._last_read_at - self._pinged_at
                self._pinged_at = None
            protocol.pong = None
        if not protocol.mid_message:
            self._unfinished_since = None
        elif self._unfinished_since is None or message is not None:
            self._unfinished_since = self._last_read_at
        return message

    async def _receive_some(self, max_bytes: int) -> bytes:
        """Return received bytes, b"" at the end. Waits before reading: trio's `recv` reads first, mostly in vain.

        Returns b"" for a closed socket without waiting: its descriptor is -1. trio 0.35 keeps a wait for -1 although
        epoll refuses it, and raises `BusyResourceError` at the next one.
        """
        if self._closed:
            return b""
        self._reading = True
        try:
            if self._tls is not None:
                return await self._tls.receive_some(max_bytes)
            data = None
            while data is None:
                await trio.lowlevel.wait_readable(self._stream.socket)
                data = self._read_now(max_bytes)
            return data
        except _LOST:
            return b""
        finally:
            self._reading = False

    def _read_now(self, max_bytes: int) -> bytes | None:
        """Return bytes that the kernel has, b"" at the end, None if there are none yet. Raises OSError."""
        try:
            return os.read(self._stream.socket.fileno(), max_bytes)
        except BlockingIOError:
            return None

    def _queue_protocol_output(self) -> None:
        writes = self._protocol.data_to_send()
        if not self._close_queued:
            self._waiting += writes
            self._close_queued = self._protocol.state is not State.OPEN
            if self._close_queued:
                self._close_frame = next((write for write in reversed(writes) if write), b"")

    def _fail(self, code: int, reason: str) -> None:
        self._unfinished_since = None
        with suppress(ProtocolError):
            self._protocol.fail(code, reason)
        self._queue_protocol_output()

    def _on_lost(self) -> None:
        """Record that the TCP connection has ended or broken."""
        self._protocol.discard_input()
        self._protocol.receive_eof()
        self._queue_protocol_output()
        self._discard_output()

    def _drop(self) -> None:
        self._on_lost()
        close_now(self._stream)
        self._closed = True
        if self._closed_event is not None:
            self._closed_event.set()

    @property
    def _unsent(self) -> bool:
        unsent = self._sent < len(self._buffer) or bool(self._waiting)
        return unsent or (self._tls is not None and self._tls.backlog)

    def _discard_output(self) -> None:
        self._waiting.clear()
        self._buffer, self._sent = b"", 0

    def _send_some(self) -> bool:
        """Send what the kernel takes without waiting: the rest of a write, or everything that waits as the next one.

        Return whether nothing is left. Raises BlockingIOError if the kernel takes nothing, OSError if the connection is
        lost.
        """
        buffer, sent = self._buffer, self._sent
        if sent == len(buffer):
            buffer, sent = b"".join(self._waiting), 0
            self._waiting.clear()
            self._buffer, self._sent = buffer, 0
        unsent = memoryview(buffer)[sent:] if sent else buffer
        if self._tls is None:
            sent += os.write(self._stream.socket.fileno(), unsent)
        else:
            sent += self._tls.write_now(unsent)
        if sent < len(buffer):
            self._sent = sent
            return False
        self._buffer, self._sent = b"", 0
        return not self._waiting and (self._tls is None or not self._tls.backlog)

    async def _flush(self) -> None:
        """Send everything. Frames that other tasks queue meanwhile join this write or the next one.

        Not a checkpoint if the kernel takes everything at once: a checkpoint would be a fifth of the time of a small
        message. Raises SocketClosed if the connection is lost, or the client took nothing for `write_s`.
        """
        lock = self._lock = self._lock or trio.Lock()
        try:
            lock.acquire_nowait()
        except trio.WouldBlock:
            await lock.acquire()
        try:
            while self._unsent:
                await trio.lowlevel.checkpoint_if_cancelled()
                try:
                    self._send_some()
                except BlockingIOError:  # waiting from the start would cost a deadline, as much as the send itself
                    await self._send_when_writable()
            self._buffer, self._sent = b"", 0
        except (OSError, trio.ClosedResourceError):
            self._drop()
            raise self._closed_error() from None
        finally:
            lock.release()

    async def _send_when_writable(self) -> None:
        send = self._tls.send_some if self._tls is not None else self._stream.socket.send
        with trio.move_on_after(self._limits.write_s) as self._stall_scope:
            self._sent += await send(memoryview(self._buffer)[self._sent :])
        stalled, self._stall_scope = self._stall_scope.cancelled_caught, None
        if stalled:
            await self._send_close_and_discard()
            raise TimeoutError

    async def _send_close_and_discard(self) -> None:
        """Hand the kernel the rest of the frame that was begun, and the close frame. Discard the frames between them.

        The close frame has 1013 if none was queued: the client does not read. If the kernel does not take that much,
        the client sees a lost connection.
        """
        if not self._unsent:
            return
        if not self._close_queued:
            self._protocol.send_close(1013, "the client does not read")
            self._queue_protocol_output()
        close_frame = self._close_frame
        boundary = frame_boundary(self._buffer, self._sent)
        close_begun = boundary == len(self._buffer) and close_frame not in self._waiting
        remaining = self._buffer[self._sent : boundary] + (b"" if close_begun else close_frame)
        self._discard_output()
        socket = self._stream.socket
        with suppress(OSError, trio.ClosedResourceError, trio.BrokenResourceError):
            room = 4 * self._limits.send_buffer_bytes + 2 * len(remaining) + _LAST_ROOM_BYTES
            socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, room)
            if hasattr(trio.socket, "TCP_NOTSENT_LOWAT"):  # which trio sets to 16 KiB
                socket.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT, room)
            with trio.move_on_after(0.1):
                await (self._tls.send_all if self._tls is not None else socket.send)(remaining)
