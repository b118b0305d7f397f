"""Erases all stored data of a user: rows of extensions first, then threads, then the user's own row.

Erasure runs in small transactions. If it is interrupted, the deleted part stays deleted, and a repeated request
continues. No other user's data is touched.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from attrs import define, frozen

from understudy.extensions.privacy import queries
from understudy.extensions.privacy.fulltext import merge_fulltext
from understudy.installed import kept_of_users
from understudy.storage.acts import Act
from understudy.storage.deletion import ThreadDeleter, delete_whole, remove_rows, remove_user
from understudy.storage.store import Store
from understudy.web.websocket import WebSettings

ERASED: Final = Act("user.erased")

log = logging.getLogger(__name__)

ROUNDS: Final = 100
"""Limit of passes, as the user may start threads meanwhile; beyond it the erasure is reported as incomplete."""


@frozen
class Erased:
    """The number of deleted threads and files. `whole` is False if the user kept sending, and so still has data."""

    threads: int = 0
    files: int = 0
    whole: bool = True


async def nothing_to_sign_out(_: str) -> None:
    """Revoke no sessions, as there are none."""


@define
class Eraser:
    """Erases users. `sign_out` revokes all sessions of a user, and returns once no server accepts their tokens.

    Its methods raise StorageUnavailable when something could not be removed; what was removed until then is gone.
    """

    store: Store
    settings: WebSettings
    delete_thread: ThreadDeleter
    sign_out: Callable[[str], Awaitable[None]] = nothing_to_sign_out

    async def user(self, owner: str) -> Erased:
        """Erase all stored data of a user, then revoke their sessions.

        The sessions are revoked last, so that the user can repeat the request if a part could not be deleted.
        """
        threads = files = 0
        whole = False
        for _ in range(ROUNDS):
            files += await self._of_extensions(owner)  # first, as schedules and the like start threads
            threads += await self._threads(owner)
            whole = await remove_user(self.store, owner) or await self.store.archive.read(queries.user, owner) is None
            if whole:
                break
        if whole:
            await self.sign_out(owner)
            # Erase data that was stored since then: no token of the user is accepted any more.
            files += await self._of_extensions(owner)
            threads += await self._threads(owner)
            await remove_user(self.store, owner)
        await self.forget()
        log.info("user.erased", extra={"threads": threads, "files": files, "whole": whole})
        return Erased(threads, files, whole)

    async def thread(
        self, owner: str, thread_id: str, *, rests: float = 1.0, unless_since: float | None = None
    ) -> bool:
        """Delete a thread, as `delete_whole` does."""
        return await delete_whole(
            self.store, self.delete_thread, owner, thread_id, rests=rests, unless_since=unless_since
        )

    async def forget(self) -> None:
        """Purge deleted data from the database's indexes and logs."""
        begin, began = True, trio.current_time()
        while await self.store.commit(merge_fulltext(begin)):
            await trio.sleep(trio.current_time() - began)  # leave half of the time to other writes
            begin, began = False, trio.current_time()
        await trio.to_thread.run_sync(self.store.database.forget)

    async def _of_extensions(self, owner: str) -> int:
        """Delete the rows of a user in the tables of all extensions, also disabled ones. Return the number of files.
        Data outside of the database is deleted before its row, so a remaining row marks data that is still there."""
        files = 0
        for kept in kept_of_users():
            while rows := await self.store.archive.read(queries.rows, kept, owner):
                if kept.outside is not None:
                    await kept.outside(self.settings, self.store, rows)
                keys = tuple(queries.key_of(kept, row) for row in rows)
                removed = await self.store.commit(remove_rows(kept.table, keys))
                files += removed if kept.attached else 0
        return files

    async def _threads(self, owner: str) -> int:
        removed = 0
        while threads := await self.store.archive.read(queries.threads, owner, ""):
            for thread in threads:
                await self.thread(owner, thread.id)
                removed += 1
        return removed
