"""One WebSocket, from the server's side, over a TCP stream: `websockets`' sans-IO protocol reads, trio moves the bytes.

Rules this file keeps:

1. Bytes leave in whole frames. A write that is cancelled is remembered and finished before anything else goes out.
2. Once either side has sent its close frame, nothing more is queued behind it, not even an answer to a ping.
3. A client that does not read costs a bounded kernel buffer and its own connection, never anybody else's time.
4. A client that is at fault is heard out before the connection ends, lest a reset overtakes the close frame.
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
from transport.server.websocket.deflate import agreed
from transport.server.websocket.frames import binary_head, deflated_head, text_head
from transport.server.websocket.protocol import Protocol
from transport.server.write_buffer import Broken, Outflow
from transport.wire.errors import CommandRejected, SocketClosed
from transport.wire.payloads import Binary

_PING: Final = b"?"  # told from the pongs that nobody asked for
_READ_BYTES: Final = 16 * 1024
_READ_ON_BYTES: Final = 64 * 1024  # in the middle of a message
# RFC 6455 section 5.5: a control frame carries 125 bytes, two of which are the close code.
_MAX_REASON_BYTES: Final = 123


@frozen
class SocketLimits:
    """Bounds of one WebSocket; sizes in bytes, times in seconds.

    `message_bytes`: a larger message is refused and the socket stays open. `bound_bytes`: a larger one ends the
    socket with 1009. `message_s`: a message that was begun must be complete by then (1008). `write_s`: a write of
    which the client takes nothing for so long ends the socket with 1013. `close_s`: how long the closing handshake
    may take. `quiet_s` and `discard_bytes`: a client at fault sees the end of the stream when it has sent nothing for
    so long, or has sent so much more. `send_buffer_bytes`: what the kernel holds for a client that reads slowly.
    `compression_from_bytes`: permessage-deflate is agreed to, and text of so many bytes is sent compressed; None for
    no compression. The other bounds are those of what was inflated.
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
    """An accepted WebSocket. One task may be in `receive`; `write`, `ping` and `close` may be called from any.

    `code` and `reason` tell how it was closed: the client's words when the client closed first, else ours; 1006
    when the connection was lost; None while it is open. `rtt_s` is the time from the last answered ping to its pong, in
    seconds; None before the first.
    """

    __slots__ = (
        "_deflate", "_farewell", "_going", "_gone", "_heard_at", "_limits", "_out", "_parting", "_pinged_at",
        "_protocol", "_reading", "_sealed", "_stream", "_tls", "_unfinished_since", "rtt_s", "subprotocol",
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
        self._protocol = Protocol(limits.message_bytes, limits.bound_bytes, extensions, rest)
        self._deflate = agreed(extensions, limits.compression_from_bytes)
        self._out = Outflow(stream, limits.write_s, limits.send_buffer_bytes, self._last_frame)
        self._unfinished_since: float | None = None
        self._reading = self._parting = False
        self._sealed = False
        self._farewell = b""
        self._gone = False
        self._going: trio.Event | None = None  # there is one when somebody waits: most sockets are never waited for
        self._heard_at = trio.current_time()
        self._pinged_at: float | None = None

    @property
    def open(self) -> bool:
        """Whether neither side has begun to close."""
        return not self._sealed

    @property
    def code(self) -> int | None:
        """The close code, None while the socket is open."""
        return self._ending()[0] if self._sealed else None

    @property
    def reason(self) -> str:
        """The reason that came with the close code."""
        return self._ending()[1] if self._sealed else ""

    @property
    def silent_s(self) -> float:
        """Seconds since the client was last heard of, in any kind of frame."""
        return trio.current_time() - self._heard_at

    def _ending(self) -> tuple[int, str]:
        protocol = self._protocol
        close = protocol.close_rcvd if protocol.close_rcvd_then_sent else protocol.close_sent
        return (1006, "connection lost") if close is None else (int(close.code), close.reason)

    def _closed(self) -> SocketClosed:
        return SocketClosed(*self._ending())

    async def receive(self) -> Message:
        """The next whole message, text as str.

        Raises SocketClosed when the socket is closed by either side, and CommandRejected(`message_too_large`) for
        a message over `message_bytes`, after which the socket can still be used.
        """
        protocol = self._protocol
        while not self._sealed:
            if not self._out.empty:  # pongs: who does not take them is not heard any further
                await self._answer()
            if protocol.waiting:
                await trio.lowlevel.checkpoint()  # a burst of frames in one read must not hold up other tasks
                message = self._turn(b"") if self.open else None
            else:
                message = await self._read()
            if message is not None:
                if isinstance(message, CommandRejected):
                    raise message
                return message
        await self.close()
        raise self._closed()

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Send each payload as `write` does, as far as the kernel takes it at once; whether that was all.

        What is left goes out before anything later does: with the next `write`, of nothing perhaps. Raises
        SocketClosed when the socket is closed.
        """
        self._put(payloads)
        return self._flush_now()

    async def write(self, payloads: Sequence[bytes]) -> None:
        """Send each payload as a frame, all in one write, and return when the kernel has taken them.

        A payload is UTF-8 and goes as text, or is a `Binary`. Raises SocketClosed when the socket is closed, also when
        this write took longer than `write_s`. A cancelled write goes on with the next one. A checkpoint only where the
        kernel makes it wait.
        """
        self._put(payloads)
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._flush_now():
            await self._flush()
            if self._gone:
                raise self._closed()

    def _put(self, payloads: Sequence[bytes]) -> None:
        if self._sealed:
            raise self._closed()
        frames: list[bytes] = []
        add, deflate = frames.append, self._deflate
        for payload in payloads:
            if type(payload) is Binary:
                add(binary_head(len(payload)))
            elif deflate is not None and (small := deflate.shrink(payload)) is not None:
                payload = small
                add(deflated_head(len(small)))
            else:
                add(text_head(len(payload)))
            add(payload)
        self._out.put(frames)

    def ping(self) -> None:
        """Send a ping, behind a write that is under way, and measure the time to its pong. Nothing on a closed socket.

        A ping that the kernel does not take at once goes out with the next write.
        """
        if self._sealed:
            return
        self._protocol.send_ping(_PING)
        self._collect()
        self._pinged_at = trio.current_time()
        with suppress(SocketClosed):
            self._flush_now()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with what was written before still delivered, and return when the TCP connection is gone.

        Takes at most `close_s`. Raises nothing; a second call waits for the first.
        """
        if not self._sealed:
            self._protocol.send_close(code, reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore"))
            self._collect()
        if self._gone:
            await trio.lowlevel.checkpoint()
            return
        if self._protocol.state is State.CLOSED and self._out.empty and not self._reading:
            self._drop()  # the connection is lost: there is nobody to part from
            return
        try:
            with trio.move_on_after(self._limits.close_s), suppress(SocketClosed):
                await self._flush()
                await self._part()
            await self._out.abandon()
        finally:
            self._drop()

    async def wait_closed(self) -> None:
        """Wait until somebody else has closed the socket, and the TCP connection is gone."""
        await self._wait_gone()

    async def _wait_gone(self) -> None:
        if not self._gone:
            if self._going is None:
                self._going = trio.Event()
            await self._going.wait()

    async def _part(self) -> None:
        """Wait for the client's half of the closing handshake; what else it still sends is thrown away."""
        if self._reading or self._parting:
            await self._wait_gone()
            return
        self._parting = True
        while not self._protocol.eof_sent:
            if self._protocol.waiting:
                await trio.lowlevel.checkpoint()
                self._turn(b"")
            else:
                await self._read()
        if self._protocol.close_rcvd is None:
            await self._hear_out()

    async def _hear_out(self) -> None:
        """Let a client at fault finish what it is writing: many do not survive an end in the middle of that.

        The protocol reads no more after a fault, so that the client's close frame is not seen; its silence is.
        """
        left = await self._discard(self._limits.discard_bytes, self._limits.quiet_s)
        if self._tls is not None:
            self._tls.end()
        else:
            with suppress(OSError, trio.ClosedResourceError):
                self._stream.socket.shutdown(trio.socket.SHUT_WR)
        await self._discard(left, math.inf)

    async def _discard(self, left: int, quiet_s: float) -> int:
        """Read until the client ends the stream, is silent for `quiet_s`, or has sent `left` bytes; how many it may
        still send."""
        while left > 0 and self._protocol.state is not State.CLOSED:
            with trio.move_on_after(quiet_s) as quiet:
                data = await self._receive_some(_READ_ON_BYTES)
            if quiet.cancelled_caught:
                break
            left -= len(data)
            if not data:
                self._lose()
        return left

    async def _read(self) -> Message | CommandRejected | None:
        """Wait for bytes, and take a turn at them."""
        if self._unfinished_since is None:
            data = await self._receive_some(_READ_BYTES)
        else:
            with trio.CancelScope(deadline=self._unfinished_since + self._limits.message_s) as scope:
                data = await self._receive_some(_READ_ON_BYTES)
            if scope.cancelled_caught:
                self._fail(1008, "a message was not finished in time")
                return None
        if not data:
            self._lose()
            return None
        self._heard_at = trio.current_time()
        return self._turn(data)

    async def _receive_some(self, max_bytes: int) -> bytes:
        """What has come, b"" at the end. Waits first: trio's own `recv` tries first, mostly in vain."""
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

    def _turn(self, data: bytes) -> Message | CommandRejected | None:
        """Take a turn at what has come: the message that ended, and what the protocol has to say goes on its way."""
        protocol = self._protocol
        message = protocol.turn(data)
        if protocol.writes:
            self._collect()
            if message is not None and not self._sealed:
                with suppress(SocketClosed):
                    self._flush_now()
        if protocol.pong is not None:
            self._ponged(protocol.pong)
            protocol.pong = None
        if not protocol.begun:
            self._unfinished_since = None
        elif self._unfinished_since is None or message is not None:
            self._unfinished_since = self._heard_at
        return message

    def _ponged(self, answered: bytes) -> None:
        if answered == _PING and self._pinged_at is not None:
            self.rtt_s = self._heard_at - self._pinged_at
            self._pinged_at = None

    async def _answer(self) -> None:
        """Send what the protocol has to say to what was read: pongs."""
        if not (self._sealed or self._out.empty):
            with suppress(SocketClosed):
                await self._flush()

    def _collect(self) -> None:
        writes = self._protocol.data_to_send()
        if not self._sealed:
            self._out.put(writes)
            self._sealed = self._protocol.state is not State.OPEN
            if self._sealed:
                self._farewell = next((write for write in reversed(writes) if write), b"")

    def _fail(self, code: int, reason: str) -> None:
        self._unfinished_since = None
        with suppress(ProtocolError):
            self._protocol.fail(code, reason)
        self._collect()

    def _lose(self) -> None:
        """The TCP connection has ended or broken."""
        self._protocol.forget()
        self._protocol.receive_eof()
        self._collect()
        self._out.clear()

    def _drop(self) -> None:
        self._lose()
        close_now(self._stream)
        self._gone = True
        if self._going is not None:
            self._going.set()

    def _flush_now(self) -> bool:
        try:
            return self._out.flush_now()
        except Broken:
            self._drop()
            raise self._closed() from None

    async def _flush(self) -> None:
        try:
            await self._out.flush()
        except Broken:
            self._drop()
            raise self._closed() from None

    def _last_frame(self) -> bytes:
        """The close frame; when there is none yet, the one for a client that does not read."""
        if not self._sealed:
            self._protocol.send_close(1013, "the client does not read")
            self._collect()
        return self._farewell
