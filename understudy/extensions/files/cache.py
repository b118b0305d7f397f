"""A bounded cache of stored files in a local folder, for tools that read tables from a path.

1. A request for a copy sets its time; the copy then stays for at least `HELD_S` seconds. Open files stay readable.
2. A copy unused for `KEPT_S` seconds is deleted, the least recently used ones earlier if all would exceed the limit.
3. Several servers may share the folder, so only the age of a file decides.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from actors import Actor, Context
from understudy.extensions.files.folder import file_in
from understudy.storage.data_folder import PART
from understudy.storage.errors import StorageUnavailable

log = logging.getLogger(__name__)
HELD_S: Final = 60.0
KEPT_S: Final = 900.0
PART_S: Final = 3600.0
"""Age in seconds at which a partial file is considered abandoned: a complete upload is renamed within seconds."""
COPIES: Final = "copies"
"""The cache folder's name in the data folder."""
COPIES_BYTES: Final = 1 << 30


class FileCache:
    """The cache folder. `limit_bytes` limits all copies together; `clock` gives Unix seconds. All methods block."""

    def __init__(
        self, folder: Path, *, limit_bytes: int = COPIES_BYTES, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._clock = clock

    def find(self, file_id: str, size: int) -> Path | None:
        """Return the path of a copy and hold it, or None. Raises ValueError for an invalid id, and OSError."""
        path = file_in(self.folder, file_id)
        try:
            self.hold(path)
            return path if path.stat().st_size == size else None
        except FileNotFoundError:
            return None

    def hold(self, path: Path) -> None:
        """Mark a copy as requested now. Raises OSError."""
        now = self._clock()
        os.utime(path, (now, now))

    def let_go(self, path: Path) -> None:
        """Mark a copy as evictable, because nobody has requested it. Raises OSError."""
        then = self._clock() - HELD_S
        with contextlib.suppress(FileNotFoundError):
            os.utime(path, (then, then))

    def make_room(self, size: int) -> None:
        """Delete the least recently used copies until one of `size` bytes fits.

        Raises StorageUnavailable if the held copies leave no room, and OSError.
        """
        now = self._clock()
        copies = sorted(self._aged(now), reverse=True)
        total = sum(copy_size for _, copy_size, _ in copies)
        for age_s, copy_size, path in copies:
            if total + size <= self.limit_bytes:
                return
            if age_s < HELD_S:
                break
            path.unlink(missing_ok=True)
            total -= copy_size
        if total + size > self.limit_bytes:
            raise StorageUnavailable("too many files are being read at once")

    def forget(self, file_id: str) -> None:
        """Delete a copy, if there is one. Raises ValueError for an invalid id, and OSError."""
        file_in(self.folder, file_id).unlink(missing_ok=True)

    def expire(self) -> int:
        """Delete expired files. Return their number. Raises OSError."""
        expired = [
            path for age_s, _, path in self._aged(self._clock()) if age_s > (PART_S if path.suffix == PART else KEPT_S)
        ]
        for path in expired:
            path.unlink(missing_ok=True)
        return len(expired)

    def _aged(self, now: float) -> list[tuple[float, int, Path]]:
        """Return the files of the folder with age in seconds and size, partial ones included."""
        copies = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # another server has just deleted it
                    copies.append((now - status.st_mtime, status.st_size, Path(entry.path)))
        except FileNotFoundError:
            return []
        return copies


class FileCacheSweeper(Actor):
    """Deletes expired copies periodically."""

    def __init__(self, copies: FileCache, every_s: float = KEPT_S / 3) -> None:
        self.copies = copies
        self.every_s = every_s

    async def on_start(self, context: Context) -> None:
        """Start the periodic sweep."""
        context.start_soon(self._look, name="look")

    async def receive(self, message: object, context: Context) -> None:
        """Expect no messages."""
        context.unhandled(message)

    async def _look(self) -> None:
        while True:
            await trio.sleep(self.every_s)
            try:
                await trio.to_thread.run_sync(self.copies.expire)
            except OSError as error:
                log.warning("files.copies_stay", extra={"reason": error.strerror or str(error)})
