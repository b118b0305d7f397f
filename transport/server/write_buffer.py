"""The way out of a socket: whole frames to the kernel, everything that waits in one write."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import trio

from transport.server.tls import Stream, TlsStream
from transport.server.websocket.frames import frame_boundary

# What a last frame may need beyond the buffer: the kernel counts with its own overhead, and lets the send that fills
# the buffer exceed it.
_LAST_ROOM_BYTES: Final = 256 * 1024


class Broken(Exception):
    """Nothing more can be sent: the connection is lost, or the client took nothing for too long."""


class Outflow:
    """What is on its way to a client. A cancelled write is remembered and finished before anything else goes out.

    A client that takes nothing for `write_s` seconds is left. `buffer_bytes` is what the kernel holds for it: a fixed
    buffer keeps a stalled client cheap, and leaves room to be enlarged for the frame that tells it so. `last_frame()`
    gives that frame.
    """

    def __init__(self, stream: Stream, write_s: float, buffer_bytes: int, last_frame: Callable[[], bytes]) -> None:
        self._socket = stream.socket
        self._tls = stream if isinstance(stream, TlsStream) else None
        self._write_s = write_s
        self._buffer_bytes = buffer_bytes
        self._last_frame = last_frame
        self._lock = trio.Lock()
        self._waiting: list[bytes] = []
        self._buffer = b""
        self._sent = 0
        self._patience: trio.CancelScope | None = None
        self._socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, buffer_bytes)

    @property
    def empty(self) -> bool:
        """Whether all that was put in has been sent."""
        sent = not self._waiting and self._sent == len(self._buffer)
        return sent and (self._tls is None or not self._tls.backlog)

    @property
    def busy(self) -> bool:
        """Whether a write is under way, or waits for one."""
        return self._lock.locked()

    def put(self, frames: Iterable[bytes]) -> None:
        """Queue frames, or a frame in parts."""
        self._waiting.extend(frames)

    def clear(self) -> None:
        """Forget all that has not been sent."""
        self._waiting.clear()
        self._buffer, self._sent = b"", 0

    def flush_now(self) -> bool:
        """Send what the kernel takes at once; whether that was all there is. Raises Broken."""
        if self._lock.locked():
            return False
        self._gather()
        try:
            self._write()
        except BlockingIOError:
            return False
        except OSError:
            raise Broken from None
        if not self.empty:
            return False
        self._buffer, self._sent = b"", 0
        return True

    async def flush(self) -> None:
        """Send everything that waits. The lock makes others' frames part of the same or of the next write.

        Other tasks get no turn when the kernel takes all at once: that would be a fifth of the time of a small
        message. Raises Broken.
        """
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()
        try:
            while not self.empty:
                self._gather()
                await self._send()
            self._buffer, self._sent = b"", 0
        finally:
            self._lock.release()

    async def abandon(self) -> None:
        """Wait for the client no longer, and leave it the last frame."""
        if self._patience is not None:
            self._patience.cancel()
        async with self._lock:
            await self._leave_behind()

    def _gather(self) -> None:
        """All that waits becomes the next write, when the last one is out."""
        if self._sent == len(self._buffer):
            self._buffer, self._sent = b"".join(self._waiting), 0
            self._waiting.clear()

    def _rest(self) -> bytes | memoryview:
        return memoryview(self._buffer)[self._sent :] if self._sent else self._buffer

    def _write(self) -> None:
        if self._tls is None:
            self._sent += os.write(self._socket.fileno(), self._rest())
        else:
            self._sent += self._tls.write_now(self._rest())

    async def _send(self) -> None:
        """Send what the kernel takes at once, else wait until it takes some: a deadline costs as much as the send."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._write()
        except BlockingIOError:
            await self._send_late()
        except OSError:
            raise Broken from None

    async def _send_late(self) -> None:
        with trio.move_on_after(self._write_s) as self._patience:
            try:
                self._sent += await (self._tls.send_some if self._tls is not None else self._socket.send)(self._rest())
            except (OSError, trio.ClosedResourceError):
                raise Broken from None
        stalled, self._patience = self._patience.cancelled_caught, None
        if stalled:
            await self._leave_behind()
            raise Broken

    async def _leave_behind(self) -> None:
        """Leave what must still be said to the kernel, for when the client reads: the rest of the frame that was
        begun, and the last frame. Frames between them are dropped.

        Should the kernel not take so much, the client sees a lost connection.
        """
        if self.empty:
            return
        farewell = self._last_frame()
        boundary = frame_boundary(self._buffer, self._sent)
        begun = boundary == len(self._buffer) and farewell not in self._waiting
        rest = self._buffer[self._sent : boundary] + (b"" if begun else farewell)
        self.clear()
        with suppress(OSError, trio.ClosedResourceError, trio.BrokenResourceError):
            room = 4 * self._buffer_bytes + 2 * len(rest) + _LAST_ROOM_BYTES
            self._socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, room)
            if hasattr(trio.socket, "TCP_NOTSENT_LOWAT"):  # which trio sets to 16 KiB
                self._socket.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT, room)
            with trio.move_on_after(0.1):
                await (self._tls.send_all if self._tls is not None else self._socket.send)(rest)
