"""The interface of file stores, an upload in progress, and the store in a local folder (`database` has the other)."""

import contextlib
import hashlib
import os
import re
import secrets
import time
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, TypeVar

import trio

from understudy.extensions.files.storage import add_file
from understudy.storage.data_folder import PART, sync
from understudy.storage.errors import FileTooLarge, NotStored, StorageUnavailable
from understudy.storage.records import File, is_file_id
from understudy.storage.write import Write

T = TypeVar("T")
MIB: Final = 1 << 20
CHUNK_BYTES: Final = 256 * 1024
"""Bytes of a file per call of a worker thread: changing threads costs as much as writing 100 KiB."""
LONGEST_NAME: Final = 200
"""Limit of a display name in characters; longer names are cut. File systems commonly allow 255 bytes."""
WRITERS: Final = 4
"""Limit of threads that write to one folder at a time: more would only wait for the disk."""


class FileStore(Protocol):
    """Stores the bytes of uploaded files in a folder (`FolderFiles`) or the database (`DatabaseFiles`).

    `limit_bytes` limits a single file.
    """

    limit_bytes: int

    async def save(self, owner: str, name: str, media_type: str, chunks: AsyncIterable[bytes]) -> File:
        """Store an upload and return its row; both are durable when this returns.

        Raises FileTooLarge as soon as the limit is exceeded, StorageUnavailable if the bytes or the row cannot be
        stored, and the errors of `chunks`. After an error or a cancel no file is left. The caller closes `chunks`.
        """

    def read(self, file: File) -> AsyncGenerator[bytes, None]:
        """Return a generator of chunks, which the caller must close. Raises NotStored, StorageUnavailable."""

    async def local(self, file: File) -> Path:
        """Return a path on this machine with the bytes: valid for at least a minute, and while it is open.

        Raises NotStored, StorageUnavailable.
        """

    async def remove(self, owner: str, file_ids: Sequence[str]) -> None:
        """Delete the bytes of these files and local copies, if they exist; the Store deletes the rows.

        Raises ValueError for an invalid id, and StorageUnavailable.
        """

    def sweep(self) -> int:
        """Delete partial uploads of a server that was killed. Return their number; blocks.

        Call it at the start, before the first upload. Raises OSError.
        """


def display_name(name: str) -> str:
    """Make a user's file name displayable: no folders, no control or direction characters, not too long."""
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    name = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C").strip()
    if len(name) > LONGEST_NAME:
        stem, dot, suffix = name.rpartition(".")
        ending = dot + suffix if stem and len(suffix) < 20 else ""
        name = name[: LONGEST_NAME - len(ending)] + ending
    return name if name.strip(". ") else "file"


def new_file_id() -> str:
    """Return a new random id."""
    return secrets.token_hex(16)


def file_in(folder: Path, file_id: str) -> Path:
    """Return the path of a file in a folder. Raises ValueError for an invalid id."""
    if not is_file_id(file_id):
        raise ValueError("not the id of a stored file")
    return folder / file_id


class Upload:
    """A file that is being written under a temporary name. Its methods block, and raise OSError.

    `durable`: `finish` returns once the file is on the disk.
    """

    def __init__(self, folder: Path, file_id: str, *, durable: bool = True) -> None:
        self.id = file_id
        self.size = 0
        self.hash = hashlib.sha256()
        self.path = folder / file_id
        self.named = False
        self._durable = durable
        # A random name: two concurrent uploads of one file must not write into the same part.
        self._part = folder / f"{file_id}.{secrets.token_hex(4)}{PART}"
        self._descriptor = -1

    def open(self) -> None:
        """Create the folder and the partial file."""
        self._part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self.hash.update(data)
        self.size += len(data)
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[os.write(self._descriptor, remaining) :]

    def finish(self, data: bytes) -> None:
        """Append the last bytes and give the file its name."""
        self.write(data)
        if self._durable:
            os.fsync(self._descriptor)
        self._close()
        self._part.rename(self.path)
        self.named = True
        if self._durable:
            sync(self.path.parent)  # without it a power cut could undo the new name

    def discard(self) -> None:
        """Delete the file, whether finished or not."""
        self._close()
        for path in (self._part, *([self.path] if self.named else [])):
            with contextlib.suppress(OSError):  # it may not have been created; a sweep deletes leftovers
                path.unlink()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Disk:
    """Runs blocking work on the files of one folder in worker threads; OSError becomes StorageUnavailable."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(WRITERS)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Return `function(*args)`; a cancel takes effect after it has returned. Raises StorageUnavailable."""
        try:
            return await trio.to_thread.run_sync(function, *args, limiter=self._limiter)
        except OSError as error:
            raise StorageUnavailable(error.strerror or str(error)) from error

    async def save(self, upload: Upload, chunks: AsyncIterable[bytes], limit_bytes: int) -> None:
        """Write all chunks and finish the upload; discard it after any error or cancel.

        Raises FileTooLarge as soon as the limit is exceeded, StorageUnavailable, and the errors of `chunks`.
        """
        try:
            await self.run(upload.open)
            buffer = bytearray()
            async for chunk in chunks:
                if upload.size + len(buffer) + len(chunk) > limit_bytes:
                    raise FileTooLarge(limit_bytes)
                buffer += chunk
                if len(buffer) >= CHUNK_BYTES:
                    await self.run(upload.write, bytes(buffer))
                    buffer.clear()
            await self.run(upload.finish, bytes(buffer))
        except BaseException:
            await self.discard(upload)
            raise

    async def discard(self, upload: Upload) -> None:
        """Delete an upload, also when cancelled."""
        with trio.CancelScope(shield=True):
            await self.run(upload.discard)


class FolderFiles:
    """A `FileStore` in a folder that only one server uses, with a file per upload, named by its id.

    `commit` is that of the store, `limit_bytes` limits a single file.
    """

    def __init__(
        self,
        folder: Path,
        commit: Callable[[Write], Awaitable[int]],
        *,
        limit_bytes: int = 20 * MIB,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.clock = clock
        self._commit = commit
        self._disk = Disk()

    async def save(self, owner: str, name: str, media_type: str, chunks: AsyncIterable[bytes]) -> File:
        """Store the bytes before the row, so that every row has its file."""
        upload = Upload(self.folder, new_file_id())
        await self._disk.save(upload, chunks, self.limit_bytes)
        digest = upload.hash.hexdigest()
        file = File(owner, upload.id, display_name(name), media_type, upload.size, digest, self.clock())
        try:
            await self._commit(add_file(file))
        except BaseException:
            await self._disk.discard(upload)
            raise
        return file

    async def read(self, file: File) -> AsyncGenerator[bytes, None]:
        """Read the file in chunks."""
        path = await self.local(file)
        with await self._disk.run(_open, path) as opened:
            while chunk := await self._disk.run(opened.read, CHUNK_BYTES):
                yield chunk

    async def local(self, file: File) -> Path:
        """Return the path of the file."""
        path = file_in(self.folder, file.id)
        if not await self._disk.run(path.exists):
            raise NotStored("file", file.id)
        return path

    async def remove(self, owner: str, file_ids: Sequence[str]) -> None:
        """Delete the files one after the other."""
        await self._disk.run(_unlink, [file_in(self.folder, file_id) for file_id in file_ids])

    async def older_than(self, before: float) -> list[str]:
        """Return the ids of the files that were written before a time (Unix seconds), with or without a row."""
        return await self._disk.run(_older_than, self.folder, before)

    def sweep(self) -> int:
        """Delete all partial uploads, because no other server writes to this folder."""
        partial = list(self.folder.glob(f"*{PART}"))
        _unlink(partial)
        return len(partial)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _unlink(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _older_than(folder: Path, before: float) -> list[str]:
    if not folder.exists():
        return []
    return [path.name for path in folder.iterdir() if is_file_id(path.name) and path.stat().st_mtime < before]
