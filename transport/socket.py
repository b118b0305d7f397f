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
from functools import lru_cache
from typing import Final

import trio
from attrs import frozen
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from transport.errors import CommandRejected, SocketClosed

_READ_BYTES: Final = 16 * 1024
_DISCARD_BYTES: Final = 64 * 1024
# What a last frame may need beyond the buffer: the kernel counts with its own overhead, and lets the send that fills
# the buffer exceed it.
_LAST_ROOM_BYTES: Final = 256 * 1024
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


@lru_cache(maxsize=4096)
def text_head(length: int) -> bytes:
    """The head of an unmasked, unfragmented text frame with `length` bytes of payload (RFC 6455 section 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


def frame_boundary(frames: bytes, position: int) -> int:
    """Where the unmasked frame that `position` lies in ends; `position` itself when it lies between two frames."""
    end = 0
    while end < position:
        length, head = frames[end + 1], 2
        if length == 126:
            length, head = int.from_bytes(frames[end + 2 : end + 4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(frames[end + 2 : end + 10], "big"), 10
        end += head + length
    return end


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
        self._sending = trio.Lock()
        self._waiting: list[bytes] = []
        self._buffer = b""
        self._sent = 0
        self._inbox: deque[str | bytes | CommandRejected] = deque()
        self._parts: list[bytes] = []
        self._size = 0
        self._text = True
        self._unfinished_since: float | None = None
        self._reading = False
        self._failed = False
        self._sealed = False
        self._farewell = b""
        self._sender: trio.CancelScope | None = None
        self._gone = trio.Event()
        self._heard_at = trio.current_time()
        # A fixed buffer keeps a stalled client cheap, and leaves room to be enlarged for the frame that tells it so.
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, limits.send_buffer_bytes)
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

    async def receive(self) -> str | bytes:
        """The next whole message, text as str.

        Raises SocketClosed when the socket is closed by either side, and CommandRejected(`message_too_large`) for
        a message over `message_bytes`, after which the socket can still be used.
        """
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
        write goes on with the next one.
        """
        if self._sealed:
            raise self._closed()
        for payload in payloads:
            self._waiting.append(text_head(len(payload)))
            self._waiting.append(payload)
        await self._flush()
        if self._gone.is_set():
            raise self._closed()

    async def ping(self) -> None:
        """Send a ping, behind a write that is under way but without waiting for it. Nothing on a closed socket."""
        if self._sealed:
            return
        self._protocol.send_ping(b"")
        self._collect()
        if not self._sending.locked():
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
            if self._sender is not None:
                self._sender.cancel()
            async with self._sending:
                await self._leave_behind()
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
        if self._sealed or not (self._size or self._parts or self._protocol.reader.buffer):
            self._unfinished_since = None
        elif self._unfinished_since is None or len(self._inbox) > complete:
            self._unfinished_since = self._heard_at

    def _assemble(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._text = frame.opcode is Opcode.TEXT
        elif frame.opcode is not Opcode.CONT:
            return
        self._size += len(frame.data)
        if self._size <= self._limits.message_bytes:
            self._parts.append(bytes(frame.data))
        if frame.fin:
            message, size = b"".join(self._parts), self._size
            self._parts, self._size = [], 0
            self._complete(message, size)

    def _complete(self, message: bytes, size: int) -> None:
        if size > self._limits.message_bytes:
            limit = f"A message may have at most {self._limits.message_bytes} bytes."
            self._inbox.append(CommandRejected("message_too_large", limit))
        elif not self._text:
            self._inbox.append(message)
        else:
            try:
                self._inbox.append(message.decode())
            except UnicodeDecodeError:
                self._fail(1007, "a text message was not UTF-8")

    async def _answer(self) -> None:
        """Send what the protocol has to say to what was read: pongs."""
        if self._waiting and not self._sealed:
            with suppress(SocketClosed):
                await self._flush()

    def _collect(self) -> None:
        writes = self._protocol.data_to_send()
        if not self._sealed:
            self._waiting.extend(writes)
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
        self._waiting.clear()
        self._buffer, self._sent = b"", 0

    def _drop(self) -> None:
        self._lose()
        self._stream.socket.close()
        self._gone.set()

    async def _flush(self) -> None:
        """Send everything that waits. The lock makes others' frames part of the same or of the next write."""
        try:
            self._sending.acquire_nowait()  # a send is checkpoint enough
        except trio.WouldBlock:
            await self._sending.acquire()
        try:
            while self._waiting or self._sent < len(self._buffer):
                if self._sent == len(self._buffer):
                    self._buffer, self._sent = b"".join(self._waiting), 0
                    self._waiting.clear()
                await self._send()
            self._buffer, self._sent = b"", 0
        finally:
            self._sending.release()

    async def _send(self) -> None:
        """Send what the kernel takes at once, else wait for it to take some: a deadline only where it is needed."""
        try:
            self._sent += os.write(self._stream.socket.fileno(), memoryview(self._buffer)[self._sent :])
            await trio.lowlevel.checkpoint()
        except BlockingIOError:
            await self._send_late()
        except OSError:
            self._drop()
            raise self._closed() from None

    async def _send_late(self) -> None:
        with trio.move_on_after(self._limits.write_s) as self._sender:
            try:
                self._sent += await self._stream.socket.send(memoryview(self._buffer)[self._sent :])
            except (OSError, trio.ClosedResourceError):
                self._drop()
                raise self._closed() from None
        stalled, self._sender = self._sender.cancelled_caught, None
        if stalled:
            if not self._sealed:
                self._protocol.send_close(1013, "the client does not read")
                self._collect()
            await self._leave_behind()
            self._drop()
            raise self._closed()

    async def _leave_behind(self) -> None:
        """Leave what must still be said to the kernel, for when the client reads: the rest of the frame that was
        begun, and the close frame. Frames between them are dropped.

        Should the kernel not take so much, the client sees a lost connection.
        """
        if not self._waiting and self._sent == len(self._buffer):
            return
        boundary = frame_boundary(self._buffer, self._sent)
        begun = boundary == len(self._buffer) and self._farewell not in self._waiting
        rest = self._buffer[self._sent : boundary] + (b"" if begun else self._farewell)
        with suppress(OSError, trio.ClosedResourceError):
            room = 4 * self._limits.send_buffer_bytes + 2 * len(rest) + _LAST_ROOM_BYTES
            self._stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, room)
            if hasattr(trio.socket, "TCP_NOTSENT_LOWAT"):  # which trio sets to 16 KiB
                self._stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT, room)
            with trio.move_on_after(0.1):
                await self._stream.socket.send(rest)
