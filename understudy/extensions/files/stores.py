"""Opens the store of a server's files, which depends on its database, and enforces the quotas of users."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import field, frozen

from understudy.extensions.files.cache import COPIES, COPIES_BYTES, FileCache
from understudy.extensions.files.folder import FileStore, FolderFiles
from understudy.extensions.files.settings import FileSettings
from understudy.extensions.files.tables import files
from understudy.storage.keyed_lock import KeyedLock
from understudy.storage.limits import UserLimits
from understudy.storage.quotas import Quotas, bytes_used
from understudy.storage.records import File
from understudy.storage.sqlite import FILES
from understudy.storage.store import Store

if TYPE_CHECKING:
    from understudy.web.websocket import WebSettings

file_bytes_used = bytes_used(files.c.owner, files.c.size)


def open_files(settings: "WebSettings", store: Store) -> tuple[FileStore, FileCache | None]:
    """Return the store of files: a folder beside SQLite, or PostgreSQL and then also the cache of local copies."""
    data_dir, limit_bytes = settings.data_dir, settings.of(FileSettings).max_bytes
    if store.database.writing.dialect.name != "postgresql":
        return FolderFiles(data_dir / FILES, store.commit, limit_bytes=limit_bytes), None
    from understudy.extensions.files.database import DatabaseFiles
    from understudy.storage.postgresql import PostgresDatabase

    database = cast(PostgresDatabase, store.database)
    copies = FileCache(data_dir / COPIES, limit_bytes=max(COPIES_BYTES, 4 * limit_bytes))
    return DatabaseFiles(database, copies, limit_bytes=limit_bytes), copies


async def remove_bytes(settings: "WebSettings", store: Store, rows: Sequence[Any]) -> None:
    """Delete the bytes of a user's files, also while the extension is off. Raises StorageUnavailable."""
    files, _ = open_files(settings, store)
    await files.remove(rows[0].owner, [row.id for row in rows])


class FileQuotas(Quotas):
    """Counts the bytes of stored files and of uploads in progress."""

    @classmethod
    def of(cls, store: Store, limits: UserLimits, *, tenants: bool = False) -> Self:
        """Return the quotas with these limits. `tenants`: whether the server has tenants."""
        per_tenant = limits.files_bytes_per_tenant if tenants else None
        return cls(store, file_bytes_used, "files", limits.files_bytes_per_user, per_tenant)

    async def hold(self, owner: str, size: int) -> None:
        """Count bytes of an upload in progress, until `release`. Raises CommandRejected if there is no room."""
        for quota in await self.check(owner, size):
            quota.held += size

    def release(self, owner: str, size: int, *, stored: bool) -> None:
        """Stop counting bytes as an upload in progress. If the upload was `stored`, count them as stored."""
        for quota in self.quotas(owner):
            quota.held -= size
            quota.since += size if stored else 0


@frozen
class BoundedFiles:
    """Counts users' uploads, and the files that tools save for them, against their quotas.

    Files of one user are stored one after the other. Else all concurrent uploads could be refused, although some fit.
    """

    files: FileStore
    quotas: FileQuotas
    _locks: KeyedLock[str] = field(factory=KeyedLock, init=False)

    @property
    def limit_bytes(self) -> int:
        """The largest size of a file, in bytes."""
        return self.files.limit_bytes

    async def save(self, owner: str, name: str, media_type: str, chunks: AsyncIterable[bytes]) -> File:
        """Store an upload, see `FileStore.save`. Raises CommandRejected (`quota_exceeded`) when there is no room."""
        held_bytes, stored = 0, False

        async def counted() -> AsyncGenerator[bytes, None]:
            nonlocal held_bytes
            async for chunk in chunks:
                await self.quotas.hold(owner, len(chunk))
                held_bytes += len(chunk)
                yield chunk

        async with self._locks.hold(owner):
            try:
                async with aclosing(counted()) as counting:
                    file = await self.files.save(owner, name, media_type, counting)
                stored = True
            finally:
                self.quotas.release(owner, held_bytes, stored=stored)
        return file
