"""Erases all stored data of a user, live conversations first.

Erasure runs in small transactions. If it is interrupted, the deleted part stays deleted, and a repeated request
continues. No other user's data is touched.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio
from attrs import define, frozen

from understudy.extension import kept_of_users
from understudy.storage import archive_queries, queries
from understudy.storage.archive_queries import Archive
from understudy.storage.deletion import MergeFulltext, remove_user
from understudy.storage.file_writes import RemoveFiles
from understudy.storage.files import FileStore
from understudy.storage.store import Store

log = logging.getLogger(__name__)

ROUNDS: Final = 100
"""Limit of passes over threads that the user starts meanwhile; beyond it the erasure is reported as incomplete."""


@frozen
class Erased:
    """The number of deleted threads and files. `whole` is False if the user kept sending, and so still has data."""

    threads: int = 0
    files: int = 0
    whole: bool = True


class ThreadDeleter(Protocol):
    """Stops a thread's conversation and deletes the thread. Returns whether it did.

    With `unless_since` (Unix seconds) only if the thread was not used since.
    """

    async def __call__(self, owner: str, thread_id: str, /, *, unless_since: float | None = None) -> bool:
        """Delete the thread."""


async def nothing_to_sign_out(_: str) -> None:
    """Revoke no sessions, as there are none."""


@define
class Eraser:
    """Erases users. `sign_out` revokes all sessions of a user, and returns once no server accepts their tokens.

    Its methods raise StorageUnavailable when something could not be removed; what was removed until then is gone.
    """

    store: Store
    archive: Archive
    files: FileStore
    delete_thread: ThreadDeleter
    sign_out: Callable[[str], Awaitable[None]] = nothing_to_sign_out

    async def user(self, owner: str) -> Erased:
        """Erase all stored data of a user, then revoke their sessions.

        The sessions are revoked last, so that the user can repeat the request if a part could not be deleted.
        """
        threads = files = 0
        whole = False
        for _ in range(ROUNDS):
            await self._of_extensions(owner)  # first, as some start threads
            removed = await self._threads(owner), await self._files(owner)
            threads, files = threads + removed[0], files + removed[1]
            whole = await remove_user(self.store, owner) or await self.archive.read(archive_queries.user, owner) is None
            if whole:
                break
        if whole:
            await self.sign_out(owner)
            # Data stored in between. From here on no token of the user is accepted.
            await self._of_extensions(owner)
            threads += await self._threads(owner)
            files += await self._files(owner)
            await remove_user(self.store, owner)
        await self.forget()
        log.info("user.erased", extra={"threads": threads, "files": files, "whole": whole})
        return Erased(threads, files, whole)

    async def thread(
        self, owner: str, thread_id: str, *, rests: float = 1.0, unless_since: float | None = None
    ) -> bool:
        """Delete a thread; after each part of a long log pause for `rests` times its duration.

        The log is trimmed first, for as long as it takes; the conversation is asked to delete only the rest, as a
        request to it has a short timeout. `unless_since` (Unix seconds): if the thread was used since then, also
        meanwhile, it stays with its messages; return False then.
        """
        if (row := await self.archive.read(queries.thread, owner, thread_id)) is not None:
            await self.store.trim(owner, thread_id, row.last_seq + 1, rests=rests)
        deleted = await self.delete_thread(owner, thread_id, unless_since=unless_since)
        return deleted

    async def forget(self) -> None:
        """Purge deleted data from the database's indexes and logs."""
        begin, began = True, trio.current_time()
        while await self.store.commit(MergeFulltext(begin)):
            await trio.sleep(trio.current_time() - began)  # leave half of the time to other writes
            begin, began = False, trio.current_time()
        await trio.to_thread.run_sync(self.store.database.forget)

    async def _of_extensions(self, owner: str) -> None:
        for kept in kept_of_users():
            await self.store.commit(kept.delete(owner))

    async def _threads(self, owner: str) -> int:
        removed = 0
        while threads := await self.archive.read(archive_queries.threads, owner, ""):
            for thread in threads:
                await self.thread(owner, thread.id)
                removed += 1
        return removed

    async def _files(self, owner: str) -> int:
        """Delete the bytes before the rows: a row that is left says that its bytes are still to be deleted."""
        removed = 0
        while files := await self.archive.read(archive_queries.files, owner, ""):
            ids = [file.id for file in files]
            await self.files.remove(owner, ids)
            removed += await self.store.commit(RemoveFiles(owner, tuple(ids)))
        return removed
