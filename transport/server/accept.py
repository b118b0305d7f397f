"""Accepting connections in a process that has no file descriptor left."""

import errno
import logging
import os
from contextlib import suppress
from typing import Final

import trio

WAIT_S: Final = 0.1
"""How long nothing is accepted after there was no descriptor left; connections wait in the kernel's queue meanwhile."""
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_LOG_EVERY: Final = 100  # of such pauses: about once in ten seconds

log: Final = logging.getLogger("transport.door")


class PatientListener(trio.abc.Listener[trio.SocketStream]):
    """A listener with a descriptor in reserve, with which it can close a connection that it cannot serve.

    Without that, a client would wait in the kernel's queue without a word until descriptors are free.
    """

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self._spare: int | None = _reserved()
        self._pauses = 0

    async def accept(self) -> trio.SocketStream:
        """Accept the next connection for which there is a descriptor; the others are closed."""
        while True:
            try:
                stream = await self._listener.accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                await self._pause(error)
            else:
                self._pauses = 0
                if self._spare is None:
                    self._spare = _reserved()
                return stream

    async def aclose(self) -> None:
        """Close the listener, and its reserve."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        await self._listener.aclose()

    async def _pause(self, error: OSError) -> None:
        if self._pauses % _LOG_EVERY == 0:
            log.error("door.no_descriptors", extra={"reason": error.strerror, "pause_s": WAIT_S})
        self._pauses += 1
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
            with trio.move_on_after(WAIT_S):
                with suppress(OSError):  # another part of the process was faster
                    (await self._listener.accept()).socket.close()
        self._spare = _reserved()
        await trio.sleep(WAIT_S)


def _reserved() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
