"""The actor that deletes expired data: old threads, the events of old runs, files that nothing refers to, entries of
the audit log, and rows of extensions.

1. It works in small parts and pauses after each for a multiple of its duration, so other writes hardly wait.
2. If several servers share the database, the one that has been alive the longest does it. Two that both believe to be
   the oldest do no harm: every part can be repeated.
3. A thread is deleted by its conversation, as if its user had deleted it; but not if it has an unfinished run, or gets
   a message while its log is being trimmed.
"""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

import trio
from attrs import define

from actors import Actor, ActorError, Context
from understudy.extension import kept_of_users
from understudy.privacy.erasure import Eraser
from understudy.storage import archive_queries, nodes
from understudy.storage.archive_queries import Archive
from understudy.storage.audit import EXPIRED, ExpireAudit
from understudy.storage.errors import StorageError
from understudy.storage.file_writes import RemoveFiles
from understudy.storage.files import FolderFiles
from understudy.storage.records import ONCE
from understudy.storage.store import Store

if TYPE_CHECKING:
    from understudy.chat.placement import Node

log = logging.getLogger(__name__)

FIRST_S: Final = 120.0
"""Time from the start of the server to the first pass: a starting server is busy."""
EVERY_S: Final = 3600.0
FILES_EVERY: Final = 6
"""Files are examined in one of this many passes, as that takes longer."""
FILE_AGE_S: Final = 24 * 3600.0
"""Minimum age of an unreferenced file to be deleted: its message may not have been sent yet."""
TOGETHER: Final = 200
"""Files of the folder examined per query."""
DAY_S: Final = 24 * 3600.0
ONCE_S: Final = 3600.0
"""Minimum age of a thread for one answer to be deleted: until then a repeat of the request finds the answer."""
RESTS: Final = 19.0
"""Pause after each part, as a multiple of its duration: deletion takes up to a twentieth of the time."""


class RemovalMetrics(Protocol):
    """Counts deleted data."""

    def removed(self, what: str, count: int) -> None:
        """Count `threads`, `events`, `files` or `audit_entries` that were deleted because of their age."""


@define
class RetentionPeriods:
    """Retention periods in days; 0 is unlimited."""

    threads_days: float = 0.0
    events_days: float = 0.0
    audit_days: float = 0.0


class _RemoveExpired:
    """Timer message: start a pass."""


class Retention(Actor):
    """Deletes expired data about once an hour, with a random delay so that servers do not start at the same moment.

    `in_charge` returns whether this server is the one to do it. `clock` gives Unix seconds.
    """

    def __init__(
        self,
        kept: RetentionPeriods,
        store: Store,
        archive: Archive,
        eraser: Eraser,
        in_charge: Callable[[], Awaitable[bool]],
        observer: RemovalMetrics,
        *,
        clock: Callable[[], float] = time.time,
        first_s: float = FIRST_S,
        every_s: float = EVERY_S,
    ) -> None:
        self.kept = kept
        self.store = store
        self.archive = archive
        self.eraser = eraser
        self.in_charge = in_charge
        self.observer = observer
        self.clock = clock
        self.first_s = first_s
        self.every_s = every_s
        self.rounds = 0
        self.removed: dict[str, int] = {}

    async def on_start(self, context: Context) -> None:
        """Schedule the first pass."""
        context.set_timer("look", _about(self.first_s), _RemoveExpired())

    async def receive(self, message: object, context: Context) -> None:
        """Delete expired data; if the database is down, try again in the next pass."""
        match message:
            case _RemoveExpired():
                began, self.removed = trio.current_time(), {}
                try:
                    if await self.in_charge():
                        await self._round()
                except (StorageError, ActorError) as error:
                    log.warning("retention.postponed", extra={"reason": str(error)})
                if self.removed:
                    log.info("retention.removed", extra=self.removed | {"seconds": trio.current_time() - began})
                context.set_timer("look", _about(self.every_s), _RemoveExpired())
            case _:
                context.unhandled(message)

    async def _round(self) -> None:
        for kept in kept_of_users():
            if kept.expired is not None:
                await self.store.commit(kept.expired)
        await self._once()
        if self.kept.audit_days:
            await self._audit(self.clock() - self.kept.audit_days * DAY_S)
        if self.kept.threads_days or self.kept.events_days:
            await self._threads()
        if self.rounds % FILES_EVERY == 0:
            await self._files()
        self.rounds += 1
        if self.removed.get("threads"):
            await self.eraser.forget()

    async def _threads(self) -> None:
        now = self.clock()
        threads_before = now - self.kept.threads_days * DAY_S if self.kept.threads_days else 0.0
        events_before = now - self.kept.events_days * DAY_S if self.kept.events_days else 0.0
        last: tuple[str, str] | None = ("", "")
        while last is not None and await self.in_charge():
            began = trio.current_time()
            old = await self.archive.read(archive_queries.old_threads, last, threads_before, events_before)
            last = old.last
            await _rest(began)
            for owner, thread_id in old.expired:
                began = trio.current_time()
                still_old = await self.archive.read(archive_queries.still_old, owner, thread_id, threads_before)
                if still_old and await self.eraser.thread(owner, thread_id, rests=RESTS, unless_since=threads_before):
                    self._count("threads", 1)
                await _rest(began)
            for owner, thread_id, first, before in old.trims:
                await self.store.trim(owner, thread_id, before, rests=RESTS)
                self._count("events", before - first)

    async def _audit(self, before: float) -> None:
        """Delete the entries of the audit log that were stored before a time."""
        while await self.in_charge():
            began = trio.current_time()
            gone = await self.store.commit(ExpireAudit(before))
            if gone:
                self._count("audit_entries", gone)
            if gone < EXPIRED:
                return
            await _rest(began)

    async def _once(self) -> None:
        """Delete the threads that were for one answer."""
        before = self.clock() - ONCE_S
        while await self.in_charge():
            began, gone = trio.current_time(), 0
            old = await self.archive.read(archive_queries.old_threads_like, ONCE, before)
            await _rest(began)
            for owner, thread_id in old:
                began = trio.current_time()
                gone += await self.eraser.thread(owner, thread_id, rests=RESTS, unless_since=before)
                await _rest(began)
            if gone:
                self._count("threads", gone)
            if not gone:
                return

    async def _files(self) -> None:
        before = self.clock() - FILE_AGE_S
        last: tuple[str, str] | None = ("", "")
        while last is not None and await self.in_charge():
            began = trio.current_time()
            last, orphans = await self.archive.read(archive_queries.old_files, last, before)
            await _rest(began)
            for owner, file_id in orphans:
                began = trio.current_time()
                await self.eraser.files.remove(owner, [file_id])
                await self.store.commit(RemoveFiles(owner, (file_id,)))
                self._count("files", 1)
                await _rest(began)
        if isinstance(self.eraser.files, FolderFiles):
            await self._strays(self.eraser.files, before)

    async def _strays(self, files: FolderFiles, before: float) -> None:
        """Delete files in the folder without a row: their server died before it could store the row."""
        names = await files.older_than(before)
        for first in range(0, len(names), TOGETHER):
            began, some = trio.current_time(), names[first : first + TOGETHER]
            known = await self.archive.read(archive_queries.known_files, some)
            strays = [name for name in some if name not in known]
            await files.remove("", strays)
            if strays:
                self._count("files", len(strays))
            await _rest(began)

    def _count(self, what: str, count: int) -> None:
        self.removed[what] = self.removed.get(what, 0) + count
        self.observer.removed(what, count)


async def is_oldest_node(store: Store, node: "Node | None") -> bool:
    """Return whether this node has been alive the longest; True for a single node.

    Raises:
        StorageUnavailable: The database is down.
    """
    return node is None or (await store.read(nodes.living))[:1] == [node.id]


async def _rest(began: float) -> None:
    await trio.sleep(RESTS * (trio.current_time() - began))


def _about(seconds: float) -> float:
    """Return a random duration between `seconds` and 1.5 times as long."""
    return seconds * (1 + secrets.randbelow(1000) / 2000)
