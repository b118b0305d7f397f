"""The stream of the HTTP server: bytes that were read before come first, and writes have a deadline."""

import math

import trio

from transport.server.tls import Stream, TlsStream


class ReplayStream:
    """A TCP or TLS stream that replays the bytes already read from it, and whose writes have a deadline.

    hypercorn shields its writes from cancellation, so one client that does not read could block a shutdown for ever.
    Here a write fails after `write_s` seconds without progress, and at `deadline` in any case.
    """

    def __init__(self, stream: Stream, head: bytes, write_s: float) -> None:
        self.socket = stream.socket  # hypercorn reads the addresses from it
        self.secure = isinstance(stream, TlsStream)
        self.deadline = math.inf
        self._stream = stream
        self._send_some = stream.send_some if isinstance(stream, TlsStream) else stream.socket.send
        self._head = head
        self._write_s = write_s
        self._write: trio.CancelScope | None = None

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the replayed head first, then bytes from the stream."""
        if self._head:
            head, self._head = self._head, b""
            await trio.lowlevel.checkpoint()
            return head
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes) -> None:
        """Send. Raises BrokenResourceError if the client takes nothing for `write_s`, or the deadline passes."""
        view = memoryview(data)
        while view or self._backlog:
            deadline = min(self.deadline, trio.current_time() + self._write_s)
            with trio.CancelScope(deadline=deadline) as self._write:
                try:
                    view = view[await self._send_some(view) :]
                except OSError as error:
                    raise trio.BrokenResourceError("the client is gone") from error
            if self._write.cancelled_caught:
                self.socket.close()
                raise trio.BrokenResourceError("the client does not read")

    @property
    def _backlog(self) -> bool:
        return isinstance(self._stream, TlsStream) and self._stream.backlog

    async def send_eof(self) -> None:
        """Send the end of the stream."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def finish_by(self, deadline: float) -> None:
        """Bound the current and all later writes by `deadline`, on trio's clock."""
        self.deadline = deadline
        if self._write is not None:
            self._write.deadline = min(self._write.deadline, deadline)
