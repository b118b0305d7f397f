"""Accept connections in a process that may run out of file descriptors."""

import errno
import logging
import os
from contextlib import suppress
from typing import Final

import trio

WAIT_S: Final = 0.1
"""Pause in seconds after accept failed for lack of descriptors; connections wait in the kernel's queue meanwhile."""
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_LOG_EVERY: Final = 100  # Log one pause in 100: about one line in ten seconds.

log: Final = logging.getLogger("transport.server.listener")


class ReserveListener(trio.abc.Listener[trio.SocketStream]):
    """A listener that holds one descriptor in reserve, to accept and close a connection that it cannot serve.

    Without the reserve, a client would hang in the kernel's queue until descriptors are free.
    """

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self._reserve: int | None = _open_reserve()
        self._pauses = 0

    async def accept(self) -> trio.SocketStream:
        """Accept the next connection. While no descriptor is free, close incoming connections instead."""
        while True:
            try:
                stream = await self._listener.accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                await self._close_one_and_wait(error)
            else:
                self._pauses = 0
                if self._reserve is None:
                    self._reserve = _open_reserve()
                return stream

    async def aclose(self) -> None:
        """Close the listener and its reserved descriptor."""
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
        await self._listener.aclose()

    async def _close_one_and_wait(self, error: OSError) -> None:
        if self._pauses % _LOG_EVERY == 0:
            log.error("door.no_descriptors", extra={"reason": error.strerror, "pause_s": WAIT_S})
        self._pauses += 1
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
            with trio.move_on_after(WAIT_S):
                with suppress(OSError):  # another part of the process took the descriptor first
                    (await self._listener.accept()).socket.close()
        self._reserve = _open_reserve()
        await trio.sleep(WAIT_S)


def _open_reserve() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
