"""Erasing a user: everything that is stored of them, their live conversations first.

It is done in small transactions and may be cut off anywhere: what is gone is gone, and asking again goes on from there.
Nothing of another user is touched.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio
from attrs import define, frozen

from understudy.storage.export_queries import Archive
from understudy.storage.files import FileStore
from understudy.storage.store import Store

log = logging.getLogger(__name__)

ROUNDS: Final = 100
"""How often it is looked for threads that were begun meanwhile, before the user is told to stop talking first."""


@frozen
class Erased:
    """What was removed. `whole` is False where the user went on talking, and so still has something."""

    threads: int = 0
    files: int = 0
    whole: bool = True


class ThreadDeleter(Protocol):
    """Ends a thread's conversation and removes it; with `unless_since` (Unix seconds) only if nothing was said since.

    Whether it did.
    """

    async def __call__(self, owner: str, thread_id: str, /, *, unless_since: float | None = None) -> bool:
        """Do it."""


async def nothing_to_sign_out(_: str) -> None:
    """End no sessions: there are none."""


@define
class Eraser:
    """Erases users. `sign_out` ends all sessions of a user, and returns once no server takes one of their tokens.

    `clear_html` drops a user's rendered answers from this server's cache.

    Its methods raise StorageUnavailable when something could not be removed; what was removed until then is gone.
    """

    store: Store
    archive: Archive
    files: FileStore
    delete_thread: ThreadDeleter
    sign_out: Callable[[str], Awaitable[None]] = nothing_to_sign_out
    clear_html: Callable[[str], None] = lambda _: None

    async def user(self, owner: str) -> Erased:
        """Erase all that is stored of a user, and end their sessions: no token that they have counts any more.

        The sessions end last, so that the user can ask once more if something could not be removed.
        """
        threads = files = 0
        whole = False
        for _ in range(ROUNDS):
            removed = await self._threads(owner), await self._files(owner)
            threads, files = threads + removed[0], files + removed[1]
            whole = await self.store.remove_user(owner) or await self.archive.user(owner) is None
            if whole:
                break
        if whole:
            await self.sign_out(owner)
            # What was said in between. Now there is no token left with which more could be said.
            threads += await self._threads(owner)
            files += await self._files(owner)
            await self.store.remove_user(owner)
        self.clear_html(owner)
        await self.forget()
        log.info("user.erased", extra={"threads": threads, "files": files, "whole": whole})
        return Erased(threads, files, whole)

    async def thread(
        self, owner: str, thread_id: str, *, rests: float = 1.0, unless_since: float | None = None
    ) -> bool:
        """Remove a thread, its conversation first; after each piece of a long log it rests so many times as long.

        The log goes before, for as long as it takes: whoever asks a conversation for something does not wait so long.
        `unless_since` (Unix seconds): where something was said since then, also meanwhile, the thread stays, and its
        messages with it; False then.
        """
        if (row := await self.archive.thread(owner, thread_id)) is not None:
            await self.store.trim(owner, thread_id, row.last_seq + 1, rests=rests)
        deleted = await self.delete_thread(owner, thread_id, unless_since=unless_since)
        self.clear_html(owner)
        return deleted

    async def forget(self) -> None:
        """Take what was removed out of what the database keeps beside its tables."""
        begin, began = True, trio.current_time()
        while await self.store.merge_fulltext(begin=begin):
            await trio.sleep(trio.current_time() - began)  # whoever writes meanwhile has half of the time
            begin, began = False, trio.current_time()
        await trio.to_thread.run_sync(self.store.database.forget)

    async def _threads(self, owner: str) -> int:
        removed = 0
        while threads := await self.archive.threads(owner):
            for thread in threads:
                await self.thread(owner, thread.id)
                removed += 1
        return removed

    async def _files(self, owner: str) -> int:
        """The bytes first: while there is a row, somebody knows that they are to go."""
        removed = 0
        while files := await self.archive.files(owner):
            ids = [file.id for file in files]
            await self.files.remove(owner, ids)
            removed += await self.store.remove_files(owner, ids)
        return removed
