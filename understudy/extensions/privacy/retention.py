"""The actor that deletes expired data: old threads, and the events of old runs.

1. It works in small parts and pauses after each for a multiple of the part's duration, so other writes hardly wait.
2. If several servers share the database, the one that has been alive the longest does it. If two consider themselves
   the oldest, no harm is done: every part can be repeated.
3. A thread is deleted by its conversation, as if its user had deleted it; but not if it has an unfinished run, or gets
   a message while its log is being trimmed.
"""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio

from actors import Actor, ActorError, Context
from understudy.extensions.privacy import queries
from understudy.extensions.privacy.erasure import Eraser
from understudy.extensions.privacy.settings import KeepSettings
from understudy.storage.errors import StorageError
from understudy.storage.polling import RESTS, rest
from understudy.storage.records import ONCE
from understudy.storage.store import Store
from understudy.storage.thread_writes import still_old

log = logging.getLogger(__name__)

FIRST_S: Final = 120.0
"""Seconds from the start of the server to the first pass, as a starting server is busy."""
EVERY_S: Final = 3600.0
"""Seconds between two passes."""
DAY_S: Final = 24 * 3600.0
ONCE_S: Final = 3600.0
"""Age in seconds at which a thread for a single answer is deleted: until then a repeated request finds the answer."""


class RemovalMetrics(Protocol):
    """Counts deleted data."""

    def removed(self, what: str, count: int) -> None:
        """Count `threads` or `events` that were deleted because of their age."""


class _RemoveExpired:
    """Timer message: start a pass."""


class Retention(Actor):
    """Deletes expired data about once an hour, with a random delay so that servers do not start at the same moment.

    `in_charge` returns whether this server must do it. `clock` gives Unix seconds.
    """

    def __init__(
        self,
        kept: KeepSettings,
        store: Store,
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
        self.eraser = eraser
        self.in_charge = in_charge
        self.observer = observer
        self.clock = clock
        self.first_s = first_s
        self.every_s = every_s
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
        await self._once()
        if self.kept.threads_days or self.kept.events_days:
            await self._threads()
        if self.removed.get("threads"):
            await self.eraser.forget()

    async def _threads(self) -> None:
        now = self.clock()
        threads_before = now - self.kept.threads_days * DAY_S if self.kept.threads_days else 0.0
        events_before = now - self.kept.events_days * DAY_S if self.kept.events_days else 0.0
        last: tuple[str, str] | None = ("", "")
        while last is not None and await self.in_charge():
            began = trio.current_time()
            old = await self.store.archive.read(queries.old_threads, last, threads_before, events_before)
            last = old.last
            await rest(began)
            for owner, thread_id in old.expired:
                began = trio.current_time()
                old_now = await self.store.archive.read(still_old, owner, thread_id, threads_before)
                if old_now and await self.eraser.thread(owner, thread_id, rests=RESTS, unless_since=threads_before):
                    self._count("threads", 1)
                await rest(began)
            for owner, thread_id, first, trim_before in old.trims:
                await self.store.trim(owner, thread_id, trim_before, rests=RESTS)
                self._count("events", trim_before - first)

    async def _once(self) -> None:
        """Delete the threads that were made for a single answer."""
        cutoff = self.clock() - ONCE_S
        while await self.in_charge():
            began, deleted = trio.current_time(), 0
            old = await self.store.archive.read(queries.old_threads_like, ONCE, cutoff)
            await rest(began)
            for owner, thread_id in old:
                began = trio.current_time()
                deleted += await self.eraser.thread(owner, thread_id, rests=RESTS, unless_since=cutoff)
                await rest(began)
            if deleted:
                self._count("threads", deleted)
            if not deleted:
                return

    def _count(self, what: str, count: int) -> None:
        self.removed[what] = self.removed.get(what, 0) + count
        self.observer.removed(what, count)


def _about(seconds: float) -> float:
    """Return a random duration between `seconds` and 1.5 times as long."""
    return seconds * (1 + secrets.randbelow(1000) / 2000)
