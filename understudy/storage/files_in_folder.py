"""The bytes of uploaded files in a folder of this machine: each in a file of its own, named by the server's id."""

import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from .errors import NotStored
from .files import CHUNK_BYTES, MIB, display_name
from .rows import File
from .upload import PART, Disk, Upload, file_in, is_file_id, new_file_id


class FolderFiles:
    """A folder that one server has for itself. `record` stores a row, `limit_bytes` bounds a single file."""

    def __init__(
        self,
        folder: Path,
        record: Callable[[File], Awaitable[None]],
        *,
        limit_bytes: int = 20 * MIB,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.clock = clock
        self._record = record
        self._disk = Disk()

    async def save(self, owner: str, name: str, media_type: str, chunks: AsyncIterable[bytes]) -> File:
        """The bytes first: a row names nothing that is not there."""
        upload = Upload(self.folder, new_file_id())
        await self._disk.take_in(upload, chunks, self.limit_bytes)
        digest = upload.hash.hexdigest()
        file = File(owner, upload.id, display_name(name), media_type, upload.size, digest, self.clock())
        try:
            await self._record(file)
        except BaseException:
            await self._disk.discard(upload)
            raise
        return file

    async def read(self, file: File) -> AsyncGenerator[bytes, None]:
        """From the file, some at a time."""
        path = await self.local(file)
        with await self._disk.run(_open, path) as opened:
            while chunk := await self._disk.run(opened.read, CHUNK_BYTES):
                yield chunk

    async def local(self, file: File) -> Path:
        """Where the file is."""
        path = file_in(self.folder, file.id)
        if not await self._disk.run(path.exists):
            raise NotStored("file", file.id)
        return path

    async def remove(self, owner: str, file_ids: Sequence[str]) -> None:
        """One file after the other."""
        paths = [file_in(self.folder, file_id) for file_id in file_ids]
        await self._disk.run(_unlink, paths)

    async def older_than(self, before: float) -> list[str]:
        """The ids of the files in the folder that were written before a time; whether somebody has them or not."""
        return await self._disk.run(_older_than, self.folder, before)

    def sweep(self) -> int:
        """Halves of uploads go at once: no other server writes here."""
        left = list(self.folder.glob(f"*{PART}"))
        _unlink(left)
        return len(left)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _unlink(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _older_than(folder: Path, before: float) -> list[str]:
    if not folder.exists():
        return []
    return [path.name for path in folder.iterdir() if is_file_id(path.name) and path.stat().st_mtime < before]
