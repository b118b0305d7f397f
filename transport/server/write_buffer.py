"""The write buffer of a socket: everything queued goes to the kernel in one write, in whole frames."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import trio

from transport.server.tls import Stream, TlsStream
from transport.server.websocket.frames import frame_boundary

# Extra send buffer for the last frame, in bytes: the kernel counts its own overhead, and lets the send that fills the
# buffer exceed it.
_LAST_ROOM_BYTES: Final = 256 * 1024


class WriteFailed(Exception):
    """Nothing more can be sent: the connection is lost, or the client took nothing for `write_s`."""


class WriteBuffer:
    """Bytes to be sent to one client. A cancelled write is finished before anything else is sent.

    If the client takes nothing for `write_s` seconds, the write fails. `buffer_bytes` is the kernel's send buffer: a
    fixed size keeps a stalled client cheap, and can be enlarged for the close frame that `last_frame()` returns.
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
        self._stall_scope: trio.CancelScope | None = None
        self._socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, buffer_bytes)

    @property
    def empty(self) -> bool:
        """Whether everything that was put has been sent."""
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
        """Discard everything that has not been sent."""
        self._waiting.clear()
        self._buffer, self._sent = b"", 0

    def flush_now(self) -> bool:
        """Send as much as the kernel takes without waiting. Return whether the buffer is empty. Raises WriteFailed."""
        if self._lock.locked():
            return False
        self._gather()
        try:
            self._write()
        except BlockingIOError:
            return False
        except OSError:
            raise WriteFailed from None
        if not self.empty:
            return False
        self._buffer, self._sent = b"", 0
        return True

    async def flush(self) -> None:
        """Send everything. Frames that other tasks put meanwhile join this write or the next one.

        Not a checkpoint if the kernel takes everything at once: a checkpoint would be a fifth of the time of a small
        message. Raises WriteFailed.
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

    async def give_up(self) -> None:
        """Stop waiting for the client and hand the last frame to the kernel."""
        if self._stall_scope is not None:
            self._stall_scope.cancel()
        async with self._lock:
            await self._send_close_and_drop()

    def _gather(self) -> None:
        """Make everything queued the next write, once the previous one has been sent."""
        if self._sent == len(self._buffer):
            self._buffer, self._sent = b"".join(self._waiting), 0
            self._waiting.clear()

    def _unsent(self) -> bytes | memoryview:
        return memoryview(self._buffer)[self._sent :] if self._sent else self._buffer

    def _write(self) -> None:
        if self._tls is None:
            self._sent += os.write(self._socket.fileno(), self._unsent())
        else:
            self._sent += self._tls.write_now(self._unsent())

    async def _send(self) -> None:
        """Send what the kernel takes without waiting, else wait: a deadline would cost as much as the send itself."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._write()
        except BlockingIOError:
            await self._send_when_writable()
        except OSError:
            raise WriteFailed from None

    async def _send_when_writable(self) -> None:
        with trio.move_on_after(self._write_s) as self._stall_scope:
            try:
                self._sent += await (self._tls.send_some if self._tls is not None else self._socket.send)(
                    self._unsent()
                )
            except (OSError, trio.ClosedResourceError):
                raise WriteFailed from None
        stalled, self._stall_scope = self._stall_scope.cancelled_caught, None
        if stalled:
            await self._send_close_and_drop()
            raise WriteFailed

    async def _send_close_and_drop(self) -> None:
        """Hand the kernel the rest of the frame that was begun, and the last frame. Drop the frames between them.

        If the kernel does not take that much, the client sees a lost connection.
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
