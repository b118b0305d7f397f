"""Stores uploaded files in PostgreSQL, where every server can read them: rows of 256 KiB beside the file's own row.

1. An upload is written to a local folder first, so its transaction does not wait for the client. Row and bytes are
   committed together; if that fails, neither is left.
2. Each chunk is read in a short transaction of its own, so a slow client holds no connection.
3. The database deletes the rows of bytes with the file's row, and the file's row with its owner.
4. Every wait for the database has a deadline. After it the connection of the late thread is interrupted.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import trio
from attrs import define
from sqlalchemy import Connection, Engine, bindparam, delete, insert, select

from understudy.extensions.files.cache import FileCache
from understudy.extensions.files.folder import CHUNK_BYTES, MIB, Disk, Upload, display_name, new_file_id
from understudy.extensions.files.storage import add_file
from understudy.extensions.files.tables import file_parts
from understudy.storage.database import DriverErrors
from understudy.storage.errors import NotStored, StorageUnavailable
from understudy.storage.postgresql import FILE_TRANSFERS, PostgresDatabase
from understudy.storage.records import File

T = TypeVar("T")
DEADLINE_S: Final = 5.0
SLOWEST: Final = 1 * MIB
"""Assumed minimum transfer rate in bytes per second, which extends the deadline of a large file."""
_p = file_parts.c
_insert = insert(file_parts)
_part = select(_p.body).where(
    _p.owner == bindparam("of"), _p.file_id == bindparam("named"), _p.number == bindparam("place")
)


class DatabaseFiles:
    """A `FileStore` in the database, with cached copies in a folder. `limit_bytes` limits a single file."""

    def __init__(
        self,
        database: PostgresDatabase,
        copies: FileCache,
        *,
        limit_bytes: int = 20 * MIB,
        clock: Callable[[], float] = time.time,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.copies = copies
        self.limit_bytes = limit_bytes
        self.clock = clock
        self.deadline_s = deadline_s
        self._database = database
        self._errors = DriverErrors.of(database.files)
        self._disk = Disk()
        self._turns = trio.CapacityLimiter(FILE_TRANSFERS)

    async def save(self, owner: str, name: str, media_type: str, chunks: AsyncIterable[bytes]) -> File:
        """Write the upload to the cache folder, then to the database; it stays in the cache for tools.

        Uploads in progress count against the cache's limit, which bounds their number.
        """
        await self._disk.run(self.copies.make_room, self.limit_bytes)
        upload = Upload(self.copies.folder, new_file_id(), durable=False)
        await self._disk.save(upload, chunks, self.limit_bytes)
        digest = upload.hash.hexdigest()
        file = File(owner, upload.id, display_name(name), media_type, upload.size, digest, self.clock())
        try:
            await self._transact(_store, file, upload.path, deadline_s=self.deadline_s + file.size / SLOWEST)
            await self._disk.run(self.copies.let_go, upload.path)
        except BaseException:
            await self._disk.discard(upload)
            raise
        return file

    async def read(self, file: File) -> AsyncGenerator[bytes, None]:
        """Read the file chunk by chunk, each in a transaction of its own."""
        number, remaining = 0, file.size
        while remaining:
            chunk = await self._transact(_read, file, number, deadline_s=self.deadline_s)
            if chunk is None:
                raise NotStored("file", file.id)
            yield chunk
            number, remaining = number + 1, remaining - len(chunk)

    async def local(self, file: File) -> Path:
        """Return the path of the cached copy, creating it if necessary."""
        path = await self._disk.run(self.copies.find, file.id, file.size)
        if path is not None:
            return path
        await self._disk.run(self.copies.make_room, file.size)
        upload = Upload(self.copies.folder, file.id, durable=False)
        await self._disk.save(upload, self.read(file), file.size)
        if upload.hash.hexdigest() != file.sha256:
            await self._disk.discard(upload)
            raise StorageUnavailable("a stored file is not what was uploaded")
        await self._disk.run(self.copies.hold, upload.path)
        return upload.path

    async def remove(self, owner: str, file_ids: Sequence[str]) -> None:
        """Delete the bytes in the database and this machine's copies; copies on other machines expire."""
        for file_id in file_ids:
            await self._disk.run(self.copies.forget, file_id)
        await self._transact(_remove, owner, list(file_ids), deadline_s=self.deadline_s)

    @property
    def transfers(self) -> int:
        """The number of threads that use the database, including abandoned ones."""
        return self._turns.borrowed_tokens

    def sweep(self) -> int:
        """Delete only expired copies, as other servers may use the folder."""
        return self.copies.expire()

    async def _transact(self, work: Callable[..., T], *args: Any, deadline_s: float) -> T:
        """Return the result of `work(connection, *args)` after its transaction, in a thread, was committed."""
        transfer = _Transfer(self._database.files)
        try:
            with trio.fail_after(deadline_s):
                return await trio.to_thread.run_sync(
                    transfer.run, work, args, limiter=self._turns, abandon_on_cancel=True
                )
        except trio.TooSlowError:
            raise StorageUnavailable(f"no answer within {deadline_s:g} s") from None
        except OSError as error:
            raise StorageUnavailable(error.strerror or str(error)) from error
        except Exception as error:
            translated = self._errors.translate(error)
            raise translated from translated.__cause__
        finally:
            transfer.over = True
            if transfer.connection is not None:  # the thread was abandoned; its transaction must not be committed
                self._database.interrupt(transfer.connection)


@define(eq=False)
class _Transfer:
    """One transaction in a thread. `connection` is the driver's while it runs. If `over` is set, it does not start."""

    engine: Engine
    connection: Any = None
    over: bool = False

    def run(self, work: Callable[..., T], args: Sequence[Any]) -> T:
        try:
            with self.engine.begin() as connection:
                self.connection = connection.connection.driver_connection
                if self.over:
                    raise StorageUnavailable("the transaction began after its deadline")
                return work(connection, *args)
        finally:
            self.connection = None


def _store(connection: Connection, file: File, path: Path) -> None:
    add_file(file).apply(connection)
    with path.open("rb") as source:
        number = 0
        while body := source.read(CHUNK_BYTES):
            connection.execute(_insert, {"owner": file.owner, "file_id": file.id, "number": number, "body": body})
            number += 1


def _read(connection: Connection, file: File, number: int) -> bytes | None:
    result = connection.execute(_part, {"of": file.owner, "named": file.id, "place": number})
    body: bytes | None = result.scalar_one_or_none()
    return body


def _remove(connection: Connection, owner: str, file_ids: list[str]) -> None:
    connection.execute(delete(file_parts).where(_p.owner == owner, _p.file_id.in_(file_ids)))
