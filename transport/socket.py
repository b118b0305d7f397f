"""One WebSocket, from the server's side, over a TCP stream: `websockets`' sans-IO protocol reads, trio moves the bytes.

Rules this file keeps:

1. Bytes leave in whole frames. A write that is cancelled is remembered and finished before anything else goes out.
2. Once either side has sent its close frame, nothing more is queued behind it, not even an answer to a ping.
3. A client that does not read costs a bounded kernel buffer and its own connection, never anybody else's time.
4. A client that is at fault is heard out before the connection ends, lest a reset overtakes the close frame.
"""

import logging
import math
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio
from attrs import frozen
from websockets.exceptions import ProtocolError
from websockets.frames import Frame
from websockets.protocol import State
from websockets.server import ServerProtocol

from transport.assembly import Assembly, Message
from transport.errors import CommandRejected, SocketClosed
from transport.frames import text_head
from transport.outflow import Broken, Outflow

_READ_BYTES: Final = 16 * 1024
_DISCARD_BYTES: Final = 64 * 1024
# RFC 6455 section 5.5: a control frame carries 125 bytes, two of which are the close code.
_MAX_REASON_BYTES: Final = 123

# The protocol's own notes ("connection open") are no events of ours.
PROTOCOL_LOG: Final = logging.getLogger("transport.protocol")
PROTOCOL_LOG.setLevel(logging.WARNING)


@frozen
class SocketLimits:
    """Bounds of one WebSocket; sizes in bytes, times in seconds.

    `message_bytes`: a larger message is refused and the socket stays open. `bound_bytes`: a larger one ends the
    socket with 1009. `message_s`: a message that was begun must be complete by then (1008). `write_s`: a write of
    which the client takes nothing for so long ends the socket with 1013. `close_s`: how long the closing handshake
    may take. `quiet_s` and `discard_bytes`: a client at fault sees the end of the stream when it has sent nothing for
    so long, or has sent so much more. `send_buffer_bytes`: what the kernel holds for a client that reads slowly.
    """

    message_bytes: int = 256 * 1024
    bound_bytes: int = 1024 * 1024
    message_s: float = 30.0
    write_s: float = 20.0
    close_s: float = 5.0
    quiet_s: float = 0.25
    discard_bytes: int = 32 * 1024 * 1024
    send_buffer_bytes: int = 64 * 1024


class Socket:
    """An accepted WebSocket. One task may be in `receive`; `write`, `ping` and `close` may be called from any.

    `code` and `reason` tell how it was closed: the client's words when the client closed first, else ours; 1006
    when the connection was lost; None while it is open.
    """

    def __init__(
        self, stream: trio.SocketStream, protocol: ServerProtocol, limits: SocketLimits, rest: bytes = b""
    ) -> None:
        self._stream = stream
        self._protocol = protocol
        self._limits = limits
        self._out = Outflow(stream, limits.write_s, limits.send_buffer_bytes, self._last_frame)
        self._inbox: deque[Message | CommandRejected] = deque()
        self._assembly = Assembly(limits.message_bytes)
        self._unfinished_since: float | None = None
        self._reading = False
        self._failed = False
        self._sealed = False
        self._farewell = b""
        self._gone = trio.Event()
        self._heard_at = trio.current_time()
        if rest:
            self._feed(rest)

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was selected in the handshake."""
        return self._protocol.subprotocol

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
        if self._inbox:  # a burst of frames in one read must not hold up other tasks
            await trio.lowlevel.checkpoint()
        while not self._inbox:
            if self._sealed:
                await self.close()
                raise self._closed()
            await self._read()
            await self._answer()
        message = self._inbox.popleft()
        if isinstance(message, CommandRejected):
            raise message
        return message

    async def write(self, payloads: Sequence[bytes]) -> None:
        """Send each payload (UTF-8) as a text frame, all in one write, and return when the kernel has taken them.

        Raises SocketClosed when the socket is closed, also when this write took longer than `write_s`. A cancelled
        write goes on with the next one. A checkpoint only where the kernel makes it wait.
        """
        if self._sealed:
            raise self._closed()
        frames: list[bytes] = []
        for payload in payloads:
            frames += (text_head(len(payload)), payload)
        self._out.put(frames)
        await self._flush()
        if self._gone.is_set():
            raise self._closed()

    async def ping(self) -> None:
        """Send a ping, behind a write that is under way but without waiting for it. Nothing on a closed socket."""
        if self._sealed:
            return
        self._protocol.send_ping(b"")
        self._collect()
        if not self._out.busy:
            with suppress(SocketClosed):
                await self._flush()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with what was written before still delivered, and return when the TCP connection is gone.

        Takes at most `close_s`. Raises nothing; a second call waits for the first.
        """
        if not self._sealed:
            self._inbox.clear()
            self._protocol.send_close(code, reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore"))
            self._collect()
        if self._gone.is_set():
            await trio.lowlevel.checkpoint()
            return
        try:
            with trio.move_on_after(self._limits.close_s), suppress(SocketClosed):
                await self._flush()
                await self._part()
            await self._out.abandon()
        finally:
            self._drop()

    async def _part(self) -> None:
        """Wait for the client's half of the closing handshake; what else it still sends is thrown away."""
        if self._reading:
            await self._gone.wait()
        while not self._protocol.eof_sent:
            await self._read()
        if self._protocol.close_rcvd is None:
            await self._hear_out()

    async def _hear_out(self) -> None:
        """Let a client at fault finish what it is writing: many do not survive an end in the middle of that.

        The protocol reads no more after a fault, so that the client's close frame is not seen; its silence is.
        """
        left = await self._discard(self._limits.discard_bytes, self._limits.quiet_s)
        with suppress(OSError, trio.ClosedResourceError):
            self._stream.socket.shutdown(trio.socket.SHUT_WR)
        await self._discard(left, math.inf)

    async def _discard(self, left: int, quiet_s: float) -> int:
        """Read until the client ends the stream, is silent for `quiet_s`, or has sent `left` bytes; how many it may
        still send."""
        while left > 0 and self._protocol.state is not State.CLOSED:
            with trio.move_on_after(quiet_s) as quiet:
                data = await self._receive_some(_DISCARD_BYTES)
            if quiet.cancelled_caught:
                break
            left -= len(data)
            if not data:
                self._lose()
        return left

    async def _read(self) -> None:
        if self._unfinished_since is None:
            data = await self._receive_some()
        else:
            with trio.CancelScope(deadline=self._unfinished_since + self._limits.message_s) as scope:
                data = await self._receive_some()
            if scope.cancelled_caught:
                self._fail(1008, "a message was not finished in time")
                return
        if data:
            self._feed(data)
        else:
            self._lose()

    async def _receive_some(self, max_bytes: int = _READ_BYTES) -> bytes:
        """What has come, b"" at the end. Waits first: trio's own `recv` tries first, mostly in vain."""
        stream = self._stream.socket
        self._reading = True
        try:
            while stream.fileno() >= 0:
                await trio.lowlevel.wait_readable(stream)
                with suppress(BlockingIOError):
                    return os.read(stream.fileno(), max_bytes)
        except (OSError, trio.ClosedResourceError):
            pass
        finally:
            self._reading = False
        return b""

    def _feed(self, data: bytes | bytearray) -> None:
        self._heard_at = trio.current_time()
        complete, late = len(self._inbox), self._sealed
        self._protocol.receive_data(data)
        self._collect()
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame) and not (late or self._failed):
                self._assemble(frame)
        if self._sealed or not (self._assembly.begun or self._protocol.reader.buffer):
            self._unfinished_since = None
        elif self._unfinished_since is None or len(self._inbox) > complete:
            self._unfinished_since = self._heard_at

    def _assemble(self, frame: Frame) -> None:
        try:
            message = self._assembly.add(frame)
        except UnicodeDecodeError:
            self._fail(1007, "a text message was not UTF-8")
        else:
            if message is not None:
                self._inbox.append(message)

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
        self._failed, self._unfinished_since = True, None
        with suppress(ProtocolError):
            self._protocol.fail(code, reason)
        self._collect()

    def _lose(self) -> None:
        """The TCP connection has ended or broken."""
        self._protocol.receive_eof()
        self._collect()
        self._out.clear()

    def _drop(self) -> None:
        self._lose()
        self._stream.socket.close()
        self._gone.set()

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
