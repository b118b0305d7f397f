"""The bytes of uploaded files: each in a file of its own, named by the server's id and never by the user's name."""

import contextlib
import functools
import hashlib
import os
import re
import secrets
import time
import unicodedata
from collections.abc import AsyncIterable, Callable
from pathlib import Path
from typing import Final

import trio

from .errors import FileTooLarge, StorageUnavailable
from .rows import File

MIB: Final = 1 << 20
CHUNK_BYTES: Final = 256 * 1024
"""How much of an upload is gathered before a worker thread writes it: a trip to a thread costs as much as 100 KiB."""
LONGEST_NAME: Final = 200
"""Of a display name, in characters; the common limit of file systems is 255 bytes."""
PART: Final = ".part"
_ID = re.compile(r"[0-9a-f]{32}")


class FileStore:
    """A folder of uploaded files. `limit_bytes` bounds a single one."""

    def __init__(
        self, folder: Path, *, limit_bytes: int = 20 * MIB, clock: Callable[[], float] = time.time, writers: int = 4
    ) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.clock = clock
        self._limiter = trio.CapacityLimiter(writers)

    async def save(self, owner: str, name: str, media_type: str, chunks: AsyncIterable[bytes]) -> File:
        """Take an upload in and return its row, which is not recorded yet (`Store.add_file` does that).

        The bytes are durable when this returns. Raises FileTooLarge as soon as the limit is passed,
        StorageUnavailable when the disk does not take them, and what `chunks` raises; whatever it is, also a
        cancel, nothing is left. A source that needs closing is the caller's to close.
        """
        upload = _Upload(self.folder, secrets.token_hex(16))
        try:
            await self._run(upload.open)
            waiting = bytearray()
            async for chunk in chunks:
                if upload.size + len(waiting) + len(chunk) > self.limit_bytes:
                    raise FileTooLarge(self.limit_bytes)
                waiting += chunk
                if len(waiting) >= CHUNK_BYTES:
                    await self._run(upload.write, bytes(waiting))
                    waiting.clear()
            await self._run(upload.finish, bytes(waiting))
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._run(upload.discard)
            raise
        return File(
            owner, upload.id, display_name(name), media_type, upload.size, upload.hash.hexdigest(), self.clock()
        )

    def path(self, file_id: str) -> Path:
        """Where the bytes of a file lie. Raises ValueError for what is not an id this store makes."""
        if not _ID.fullmatch(file_id):
            raise ValueError("not the id of a stored file")
        return self.folder / file_id

    async def remove(self, file_id: str) -> None:
        """Remove the bytes of a file; it is fine when they are gone.

        Raises ValueError as `path` does, and StorageUnavailable when the disk refuses.
        """
        await self._run(functools.partial(self.path(file_id).unlink, missing_ok=True))

    def sweep(self) -> int:
        """Remove what uploads left behind when the process was killed, and say how many.

        For start-up, before the first upload. Blocks. Raises OSError.
        """
        left = list(self.folder.glob(f"*{PART}"))
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    async def _run(self, function: Callable[..., None], *args: object) -> None:
        try:
            await trio.to_thread.run_sync(function, *args, limiter=self._limiter)
        except OSError as error:
            raise StorageUnavailable(error.strerror or str(error)) from error


class _Upload:
    """A file that is being written, in worker threads, one call at a time."""

    def __init__(self, folder: Path, file_id: str) -> None:
        self.id = file_id
        self.size = 0
        self.hash = hashlib.sha256()
        self._folder = folder
        self._part = folder / (file_id + PART)
        self._descriptor = -1

    def open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, data: bytes) -> None:
        self.hash.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def finish(self, data: bytes) -> None:
        self.write(data)
        os.fsync(self._descriptor)
        self._close()
        self._part.rename(self._folder / self.id)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # else a power cut may take the new name back
        finally:
            os.close(folder)

    def discard(self) -> None:
        self._close()
        for path in (self._part, self._folder / self.id):
            with contextlib.suppress(OSError):  # it may never have been made; `sweep` takes what is left
                path.unlink()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def display_name(name: str) -> str:
    """The user's name of a file made fit for showing: no folders, no control or direction characters, not too long."""
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    name = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C").strip()
    if len(name) > LONGEST_NAME:
        stem, dot, suffix = name.rpartition(".")
        ending = dot + suffix if stem and len(suffix) < 20 else ""
        name = name[: LONGEST_NAME - len(ending)] + ending
    return name if name.strip(". ") else "file"
