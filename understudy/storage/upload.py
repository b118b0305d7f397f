"""A file on its way to a folder of this machine, under a name that the server made: whole, or not there."""

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from .errors import FileTooLarge, StorageUnavailable
from .files import CHUNK_BYTES

T = TypeVar("T")
PART: Final = ".part"
WRITERS: Final = 4
"""Threads that write to one folder at a time: more only queue for the disk."""
_ID = re.compile(r"[0-9a-f]{32}")


def new_file_id() -> str:
    """An id that no file has."""
    return secrets.token_hex(16)


def is_file_id(text: str) -> bool:
    """Whether this is an id as `new_file_id` makes them."""
    return _ID.fullmatch(text) is not None


def file_in(folder: Path, file_id: str) -> Path:
    """Where a file of this id lies in the folder. Raises ValueError for what `new_file_id` does not make."""
    if not is_file_id(file_id):
        raise ValueError("not the id of a stored file")
    return folder / file_id


class Upload:
    """A file that is being written, in worker threads, one call at a time. Raises OSError."""

    def __init__(self, folder: Path, file_id: str, *, durable: bool = True) -> None:
        self.id = file_id
        self.size = 0
        self.hash = hashlib.sha256()
        self.path = folder / file_id
        self.named = False
        self._durable = durable
        # A name of its own: two that bring the same file here must not write into one another's.
        self._part = folder / f"{file_id}.{secrets.token_hex(4)}{PART}"
        self._descriptor = -1

    def open(self) -> None:
        """Begin."""
        self._part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, data: bytes) -> None:
        """Add these bytes."""
        self.hash.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def finish(self, data: bytes = b"") -> None:
        """Add the last bytes and give the file its name; if it is a durable one, it is on the disk then."""
        self.write(data)
        if self._durable:
            os.fsync(self._descriptor)
        self._close()
        self._part.rename(self.path)
        self.named = True
        if self._durable:
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # else a power cut may take the new name back
            finally:
                os.close(folder)

    def discard(self) -> None:
        """Leave nothing of it."""
        self._close()
        for path in (self._part, *([self.path] if self.named else [])):
            with contextlib.suppress(OSError):  # it may never have been made; a sweep takes what is left
                path.unlink()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Disk:
    """Worker threads for the files of one folder; what the disk refuses is StorageUnavailable."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(WRITERS)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """What the function returns; it is not left before it has. Raises StorageUnavailable for OSError."""
        try:
            return await trio.to_thread.run_sync(function, *args, limiter=self._limiter)
        except OSError as error:
            raise StorageUnavailable(error.strerror or str(error)) from error

    async def take_in(self, upload: Upload, chunks: AsyncIterable[bytes], limit_bytes: int) -> None:
        """Write all chunks, and finish.

        Raises FileTooLarge as soon as the limit is passed, StorageUnavailable, and what `chunks` raises; whatever it
        is, also a cancel, nothing is left.
        """
        try:
            await self.run(upload.open)
            waiting = bytearray()
            async for chunk in chunks:
                if upload.size + len(waiting) + len(chunk) > limit_bytes:
                    raise FileTooLarge(limit_bytes)
                waiting += chunk
                if len(waiting) >= CHUNK_BYTES:
                    await self.run(upload.write, bytes(waiting))
                    waiting.clear()
            await self.run(upload.finish, bytes(waiting))
        except BaseException:
            await self.discard(upload)
            raise

    async def discard(self, upload: Upload) -> None:
        """Leave nothing of it, also when cancelled."""
        with trio.CancelScope(shield=True):
            await self.run(upload.discard)
