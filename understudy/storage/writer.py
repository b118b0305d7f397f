"""The one writer: everything that waits goes into one transaction.

1. Only this actor writes, through one connection of its own, in one worker thread at a time.
2. The thread is never abandoned: a cancelled writer ends after its commit, and answers it.
3. Nobody is answered before the commit that holds their change has returned.
4. Each change has a savepoint, so one that is refused takes nothing with it.
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
"""Changes in one transaction: beyond this the fsync is a small part of it, and the first asker waits for the last."""

LOG_EVERY_S: Final = 1.0
"""Askers try again fifty times a second, and each of their groups fails for the same reason."""

TRIES: Final = 3
"""How often a transaction is tried that another server's was in the way of."""
APART_S: Final = 0.02

LONGEST_S: Final = 10.0
"""A commit that takes longer is made to fail: its askers have gone by then."""


@define(eq=False)
class WriteRequest(Ask[int]):
    """Asks the writer to store something; answered when it is durable. Fails with ChangeRefused, StorageUnavailable."""

    must_finish = True

    write: Write


@define
class WriterStatistics:
    """What this incarnation of the writer has done."""

    groups: int = 0
    changes: int = 0
    refused: int = 0
    failed_groups: int = 0


@frozen(eq=False)
class ReadStatistics(Ask[WriterStatistics]):
    """Asks the writer for its statistics."""


class StoreWriter(Actor):
    """Stores what it is asked to, in groups. A full disk or a lock is its askers' StorageUnavailable, not its end."""

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
        self.began: float | None = None  # when the commit that is under way began

    async def on_start(self, context: Context) -> None:
        """Keep watch over the commits."""
        context.start_soon(self._watch, name="watch")

    async def receive(self, message: object, context: Context) -> None:
        """Take a write into the next group."""
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
        """Commit what the last batch of messages brought."""
        if self.waiting:
            await self.commit()

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Close the connection. Whoever was not answered by now hears from the runtime that the writer ended."""
        if self.connection is not None:
            with trio.CancelScope(shield=True):  # also when killed: it takes a moment, and nobody else can
                await trio.to_thread.run_sync(self.connection.close, limiter=self.one_thread)

    async def commit(self) -> None:
        """Store the waiting writes in one transaction and answer every asker."""
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
        if isinstance(error, StorageUnavailable):  # of the file: it stays away, and saying so once is enough
            news, self.file_gone = not self.file_gone, True
        else:
            news = trio.current_time() >= self.logged_at + LOG_EVERY_S
            self.logged_at = trio.current_time() if news else self.logged_at
        if news:
            log.error("storage.commit_failed", extra={"reason": reason, "changes": len(group)})

    async def _watch(self) -> None:
        """A commit that takes too long is made to fail: its thread cannot be left behind, nor wait for ever."""
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
            time.sleep(random.uniform(0.0, APART_S))  # noqa: S311 - so that two servers do not meet again
        return self._try(group)

    def _try(self, group: Sequence[Write]) -> list[Outcome]:
        if self.connection is None:
            self.connection = self.database.writing.connect()
        try:
            return commit_group(self.connection, group)
        except BaseException:
            # Whatever state it is in, the next group starts on a new one.
            connection, self.connection = self.connection, None
            connection.invalidate()
            connection.close()
            raise
