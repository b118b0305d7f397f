"""The server's data folder: the lock that allows one server per folder, and permissions for the server's user only."""

import contextlib
import fcntl
import logging
import os
import stat
import time
from pathlib import Path
from typing import Final

from attrs import define

from .errors import AlreadyOpen

log = logging.getLogger(__name__)

LOCK_NAME: Final = "understudy.lock"
WAIT_S: Final = 2.0
"""How long to wait for the lock: on a restart the new server may start while the old one is closing."""
TRY_S: Final = 0.02
PID_BYTES: Final = 20
PART: Final = ".part"
"""Suffix of a file that is not whole yet."""
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@define
class FolderLock:
    """The lock of a data folder, held by this process until `release`. The kernel releases it if the process dies.

    The lock file stays: deleting it would be a race.
    """

    descriptor: int

    def release(self) -> None:
        """Release the lock; releasing it again has no effect."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def lock_folder(folder: Path, *, wait_s: float = WAIT_S) -> FolderLock:
    """Lock an existing folder; blocks up to `wait_s` while another server holds the lock.

    Raises AlreadyOpen after that, and OSError if the lock file cannot be created.
    """
    deadline = time.monotonic() + wait_s
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)  # not inherited: children never hold it
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise AlreadyOpen(folder, _holder(descriptor)) from None
                time.sleep(TRY_S)
        with contextlib.suppress(OSError):  # a full disk: the lock holds even without the process id in it
            pid = f"{os.getpid()}\n".encode()
            os.ftruncate(descriptor, os.pwrite(descriptor, pid, 0))
    except BaseException:
        os.close(descriptor)
        raise
    return FolderLock(descriptor)


def _holder(descriptor: int) -> int | None:
    """Return the process id of the lock's holder, as written in the lock file."""
    try:
        return int(os.pread(descriptor, PID_BYTES, 0))
    except (OSError, ValueError):
        return None


def keep_private(*paths: Path) -> None:
    """Remove the permissions of the group and of others; missing paths are skipped.

    Logs `storage.not_private` for a path of another user and continues; the system then decides who may read it.
    """
    for path in paths:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & OTHERS:
                path.chmod(mode & ~OTHERS)
                log.info("storage.made_private", extra={"path": str(path), "mode": f"{mode:o}"})
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("storage.not_private", extra={"path": str(path), "reason": error.strerror})


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk; blocks. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
