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
from transport.server.websocket.assembler import Message
from transport.server.websocket.deflate import negotiated_deflate
from transport.server.websocket.frames import binary_head, deflated_head, text_head
from transport.server.websocket.protocol import ServerSideProtocol
from transport.server.write_buffer import WriteBuffer, WriteFailed
from transport.wire.errors import CommandRejected, SocketClosed
from transport.wire.payloads import Binary

_PING: Final = b"?"  # distinguishes its pong from unsolicited ones
_READ_BYTES: Final = 16 * 1024
_READ_ON_BYTES: Final = 64 * 1024  # in the middle of a message
# RFC 6455 section 5.5: a control frame carries 125 bytes, two of which are the close code.
_MAX_REASON_BYTES: Final = 123


@frozen
class SocketLimits:
    """Bounds of one WebSocket; sizes in bytes, times in seconds.

    `message_bytes`: a larger message is refused and the socket stays open. `bound_bytes`: a larger one closes the
    socket with 1009. `message_s`: deadline for the rest of a message that was begun (1008). `write_s`: a write without
    progress for that long closes the socket with 1013. `close_s`: deadline of the closing handshake. `quiet_s` and
    `discard_bytes`: after a protocol error the stream ends once the client has been silent for `quiet_s`, or has sent
    `discard_bytes` more. `send_buffer_bytes`: the kernel's send buffer. `compression_from_bytes`: permessage-deflate is
    negotiated, and text of at least that size is sent compressed; None for no compression. Sizes are those after
    inflating.
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
        "_last_read_at", "_limits", "_pinged_at", "_protocol", "_reading", "_stream", "_tls", "_unfinished_since",
        "rtt_s", "subprotocol",
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
        self._buffer = WriteBuffer(stream, limits.write_s, limits.send_buffer_bytes, self._last_frame)
        self._unfinished_since: float | None = None
        self._reading = self._closing = False
        self._close_queued = False
        self._close_frame = b""
        self._closed = False
        self._closed_event: trio.Event | None = None  # created on the first wait: most sockets are never waited for
        self._last_read_at = trio.current_time()
        self._pinged_at: float | None = None

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
        protocol = self._protocol
        while not self._close_queued:
            if not self._buffer.empty:  # pongs: nothing more is read from a client that does not take them
                await self._flush_pongs()
            if protocol.has_buffered:
                await trio.lowlevel.checkpoint()  # a burst of frames in one read must not hold up other tasks
                message = self._feed(b"") if self.open else None
            else:
                message = await self._read()
            if message is not None:
                if isinstance(message, CommandRejected):
                    raise message
                return message
        await self.close()
        raise self._closed_error()

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Send payloads as far as the kernel takes them without waiting. Return whether everything was sent.

        The rest is sent first by the next `write`, which may be one of no payloads. Raises SocketClosed if the socket
        is closed.
        """
        self._queue_frames(payloads)
        return self._flush_now()

    async def write(self, payloads: Sequence[bytes]) -> None:
        """Send each payload as a frame, all in one write, and return when the kernel has taken them.

        A payload is UTF-8 and sent as text, or a `Binary`. Raises SocketClosed if the socket is closed, or the write
        made no progress for `write_s`. The next write finishes a cancelled one. A checkpoint only if the kernel makes
        it wait.
        """
        self._queue_frames(payloads)
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._flush_now():
            await self._flush()
            if self._closed:
                raise self._closed_error()

    def _queue_frames(self, payloads: Sequence[bytes]) -> None:
        if self._close_queued:
            raise self._closed_error()
        frames: list[bytes] = []
        add, deflate = frames.append, self._deflate
        for payload in payloads:
            if type(payload) is Binary:
                add(binary_head(len(payload)))
            elif deflate is not None and (small := deflate.compress(payload)) is not None:
                payload = small
                add(deflated_head(len(small)))
            else:
                add(text_head(len(payload)))
            add(payload)
        self._buffer.put(frames)

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
            self._flush_now()

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
        if self._protocol.state is State.CLOSED and self._buffer.empty and not self._reading:
            self._drop()  # the connection is lost: no closing handshake
            return
        try:
            with trio.move_on_after(self._limits.close_s), suppress(SocketClosed):
                await self._flush()
                await self._await_close_frame()
            await self._buffer.give_up()
        finally:
            self._drop()

    async def wait_closed(self) -> None:
        """Wait until somebody else has closed the socket, and the TCP connection is gone."""
        await self._wait_gone()

    async def _wait_gone(self) -> None:
        if not self._closed:
            if self._closed_event is None:
                self._closed_event = trio.Event()
            await self._closed_event.wait()

    async def _await_close_frame(self) -> None:
        """Wait for the client's half of the closing handshake; discard anything else that it sends."""
        if self._reading or self._closing:
            await self._wait_gone()
            return
        self._closing = True
        while not self._protocol.eof_sent:
            if self._protocol.has_buffered:
                await trio.lowlevel.checkpoint()
                self._feed(b"")
            else:
                await self._read()
        if self._protocol.close_rcvd is None:
            await self._discard_after_fault()

    async def _discard_after_fault(self) -> None:
        """Read and discard what a client still writes after its protocol error: many fail on an end in mid-write.

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

    async def _read(self) -> Message | CommandRejected | None:
        """Wait for bytes and feed them to the protocol. Return the message that they complete, if any."""
        if self._unfinished_since is None:
            data = await self._receive_some(_READ_BYTES)
        else:
            with trio.CancelScope(deadline=self._unfinished_since + self._limits.message_s) as scope:
                data = await self._receive_some(_READ_ON_BYTES)
            if scope.cancelled_caught:
                self._fail(1008, "a message was not finished in time")
                return None
        if not data:
            self._on_lost()
            return None
        self._last_read_at = trio.current_time()
        return self._feed(data)

    async def _receive_some(self, max_bytes: int) -> bytes:
        """Return received bytes, b"" at the end. Waits before reading: trio's `recv` reads first, mostly in vain."""
        self._reading = True
        try:
            if self._tls is not None:
                return await self._tls.receive_some(max_bytes)
            stream = self._stream.socket
            while stream.fileno() >= 0:  # a write may have found the connection gone, and closed it
                await trio.lowlevel.wait_readable(stream)
                try:
                    return os.read(stream.fileno(), max_bytes)
                except BlockingIOError:
                    continue
        except (OSError, trio.ClosedResourceError, trio.BrokenResourceError):
            pass
        finally:
            self._reading = False
        return b""

    def _feed(self, data: bytes) -> Message | CommandRejected | None:
        """Feed bytes to the protocol and send its replies. Return the message that was completed, if any."""
        protocol = self._protocol
        message = protocol.feed(data)
        if protocol.writes:
            self._queue_protocol_output()
            if message is not None and not self._close_queued:
                with suppress(SocketClosed):
                    self._flush_now()
        if protocol.pong is not None:
            self._measure_rtt(protocol.pong)
            protocol.pong = None
        if not protocol.mid_message:
            self._unfinished_since = None
        elif self._unfinished_since is None or message is not None:
            self._unfinished_since = self._last_read_at
        return message

    def _measure_rtt(self, answered: bytes) -> None:
        if answered == _PING and self._pinged_at is not None:
            self.rtt_s = self._last_read_at - self._pinged_at
            self._pinged_at = None

    async def _flush_pongs(self) -> None:
        """Send the protocol's replies to what was read (pongs)."""
        if not (self._close_queued or self._buffer.empty):
            with suppress(SocketClosed):
                await self._flush()

    def _queue_protocol_output(self) -> None:
        writes = self._protocol.data_to_send()
        if not self._close_queued:
            self._buffer.put(writes)
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
        self._buffer.clear()

    def _drop(self) -> None:
        self._on_lost()
        close_now(self._stream)
        self._closed = True
        if self._closed_event is not None:
            self._closed_event.set()

    def _flush_now(self) -> bool:
        try:
            return self._buffer.flush_now()
        except WriteFailed:
            self._drop()
            raise self._closed_error() from None

    async def _flush(self) -> None:
        try:
            await self._buffer.flush()
        except WriteFailed:
            self._drop()
            raise self._closed_error() from None

    def _last_frame(self) -> bytes:
        """Return the close frame; if none was queued yet, queue one with 1013 for a client that does not read."""
        if not self._close_queued:
            self._protocol.send_close(1013, "the client does not read")
            self._queue_protocol_output()
        return self._close_frame
