"""The one writer: commits all waiting writes in one transaction (group commit).

1. Only this actor writes, through one connection, in one worker thread at a time.
2. The thread is never abandoned: a cancelled writer stops after its commit, and acknowledges it.
3. A write is acknowledged only after the transaction containing it has committed.
4. Each write has a savepoint, so a refused one does not affect the others.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

import trio
from attrs import define, frozen
from sqlalchemy import Connection

from actors import Actor, Ask, Context, Exit, MailboxSpec

from .database import Database, DriverErrors
from .errors import ChangeRefused, StorageUnavailable, driver_words
from .group_commit import Outcome, commit_group, is_conflict
from .writes import Change, Write

log = logging.getLogger(__name__)
LARGEST_GROUP: Final = 512
"""Limit of writes per transaction: beyond this the fsync is a small part of its cost, and all callers wait longer."""

LOG_EVERY_S: Final = 1.0
"""Minimum interval of logged failures: callers retry fifty times a second, and fail for the same reason."""

TRIES: Final = 3
"""Attempts at a transaction that conflicts with one of another server."""
APART_S: Final = 0.02

LONGEST_S: Final = 10.0
"""A commit that takes longer is interrupted; its callers have timed out by then."""


@define(eq=False)
class WriteRequest(Ask[int]):
    """Asks the writer to commit a write; answered when durable. Fails with ChangeRefused or StorageUnavailable."""

    must_finish = True

    write: Write


@define
class WriterStatistics:
    """Counters of this incarnation of the writer."""

    groups: int = 0
    changes: int = 0
    refused: int = 0
    failed_groups: int = 0


@frozen(eq=False)
class ReadStatistics(Ask[WriterStatistics]):
    """Asks the writer for its statistics."""


class StoreWriter(Actor):
    """Commits writes in groups. A full disk or a lock fails the callers with StorageUnavailable, not the writer."""

    mailbox = MailboxSpec(capacity=2 * LARGEST_GROUP)

    def __init__(self, database: Database, on_commit: Callable[[int, float], None] = lambda *_: None) -> None:
        self.database = database
        self.on_commit = on_commit
        self.statistics = WriterStatistics()
        self.waiting: list[WriteRequest] = []
        self.connection: Connection | None = None
        self.one_thread = trio.CapacityLimiter(1)
        self.failures: tuple[type[Exception], ...] = (StorageUnavailable, *DriverErrors.of(database.writing).all)
        self.logged_at = -math.inf
        self.file_gone = False
        self.began: float | None = None  # start of the current commit

    async def on_start(self, context: Context) -> None:
        """Start the watchdog of commits."""
        context.start_soon(self._watch, name="watch")

    async def receive(self, message: object, context: Context) -> None:
        """Add a write to the next group."""
        match message:
            case WriteRequest():
                self.waiting.append(message)
                if len(self.waiting) >= LARGEST_GROUP:
                    await self.commit()
            case ReadStatistics():
                message.reply(self.statistics)
            case _:
                context.unhandled(message)

    async def on_idle(self, context: Context) -> None:
        """Commit the group when the mailbox is empty."""
        if self.waiting:
            await self.commit()

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Close the connection. The runtime fails the requests that are still unanswered."""
        if self.connection is not None:
            with trio.CancelScope(shield=True):  # also when killed: only this actor can close it, and it is quick
                await trio.to_thread.run_sync(self.connection.close, limiter=self.one_thread)

    async def commit(self) -> None:
        """Commit the waiting writes in one transaction and answer every request."""
        group, self.waiting = self.waiting, []
        began = self.began = trio.current_time()
        try:
            outcomes = await trio.to_thread.run_sync(
                self._commit, [ask.write for ask in group], limiter=self.one_thread
            )
        except self.failures as error:
            self._failed(group, error)
            return
        finally:
            self.began = None
        self.file_gone = False
        self.statistics.groups += 1
        events = sum(len(ask.write.events) for ask in group if isinstance(ask.write, Change))
        self.on_commit(events, trio.current_time() - began)
        for ask, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Exception):
                self.statistics.refused += isinstance(outcome, ChangeRefused)
                ask.fail(outcome)
            else:
                self.statistics.changes += 1
                ask.reply(outcome)

    def _failed(self, group: Sequence[WriteRequest], error: Exception) -> None:
        self.statistics.failed_groups += 1
        reason = error.reason if isinstance(error, StorageUnavailable) else driver_words(error)
        for ask in group:
            ask.fail(StorageUnavailable(reason))
        if isinstance(error, StorageUnavailable):  # the database file is gone: log it once
            news, self.file_gone = not self.file_gone, True
        else:
            news = trio.current_time() >= self.logged_at + LOG_EVERY_S
            self.logged_at = trio.current_time() if news else self.logged_at
        if news:
            log.error("storage.commit_failed", extra={"reason": reason, "changes": len(group)})

    async def _watch(self) -> None:
        """Interrupt a commit that takes longer than LONGEST_S: its thread cannot be abandoned."""
        while True:
            await trio.sleep(LONGEST_S / 4)
            connection, since = self.connection, self.began
            if connection is not None and since is not None and trio.current_time() > since + LONGEST_S:
                self.database.interrupt(connection.connection.driver_connection)

    def _commit(self, group: Sequence[Write]) -> list[Outcome]:
        self.database.check()
        for _ in range(TRIES - 1):
            try:
                return self._try(group)
            except self.failures as error:
                if not is_conflict(error):
                    raise
            time.sleep(random.uniform(0.0, APART_S))  # noqa: S311 - jitter, so that the two servers do not collide again
        return self._try(group)

    def _try(self, group: Sequence[Write]) -> list[Outcome]:
        if self.connection is None:
            self.connection = self.database.writing.connect()
        try:
            return commit_group(self.connection, group)
        except BaseException:
            # The connection is in an unknown state: the next group gets a new one.
            connection, self.connection = self.connection, None
            connection.invalidate()
            connection.close()
            raise
