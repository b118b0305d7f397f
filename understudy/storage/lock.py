"""One server to a data folder: a lock on a file in it, which the kernel lets go of however its holder ends."""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Final

from attrs import define

from .errors import AlreadyOpen

LOCK_NAME: Final = "understudy.lock"
WAIT_S: Final = 2.0
"""How long to wait for another server's end: a restart may begin the new one while the old one still closes."""
TRY_S: Final = 0.02
PID_BYTES: Final = 20


@define
class FolderLock:
    """The lock of a data folder, held by this process until `release`. The file stays: removing it would be a race."""

    descriptor: int

    def release(self) -> None:
        """Let go; again is fine."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def lock_folder(folder: Path, *, wait_s: float = WAIT_S) -> FolderLock:
    """Take the lock of a folder that is there; blocks up to `wait_s` while another holds it.

    Raises AlreadyOpen after that, and OSError when the lock file cannot be made.
    """
    deadline = time.monotonic() + wait_s
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)  # not inherited: children never hold it
    try:
        while not _taken(descriptor):
            if time.monotonic() >= deadline:
                raise AlreadyOpen(folder, _pid(descriptor))
            time.sleep(TRY_S)
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name on it
            pid = f"{os.getpid()}\n".encode()
            os.ftruncate(descriptor, os.pwrite(descriptor, pid, 0))
    except BaseException:
        os.close(descriptor)
        raise
    return FolderLock(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid(descriptor: int) -> int | None:
    """Who holds the lock, as the file says."""
    try:
        return int(os.pread(descriptor, PID_BYTES, 0))
    except (OSError, ValueError):
        return None
