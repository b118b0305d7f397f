"""The one writer: commits all waiting writes in one transaction (group commit).

1. Only this actor writes, through one connection, in one worker thread at a time.
2. The thread is never abandoned: a cancelled writer stops after its commit, and acknowledges it.
3. A write is acknowledged only after the transaction containing it has committed.
4. A refused write does not affect the others: a group is tried without savepoints, and if one of its writes is refused,
   it is rolled back and repeated with a savepoint for each. SQLite copies each page that is changed after a savepoint,
   to a file if there are more than 15, and for PostgreSQL a savepoint is two round trips.
5. Changes that only append events, maybe with steps, are stored together first, which is several times faster; if a
   group has nothing but events, one statement is PostgreSQL's whole transaction: one round trip. If one of them does
   not fit, each is retried with a savepoint. A locked row is waited for once.
6. Changes of one thread keep their order.
7. A write that may wait (`WriteLater`) starts no transaction of its own before `LATER_S`: it goes, first, with the next
   group. Whoever is answered after it was sent, so finds it stored.
8. A group ends after `GROUP_S`, and the writes that it did not come to are the next one. So a database that works on
   many writes, of which each takes long, answers some every second.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Final, TypeAlias, TypeVar

import trio
from attrs import define, frozen
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError, IntegrityError, InternalError, OperationalError

from actors import Actor, Ask, Context, Exit, MailboxSpec

from .changes import Change, append_all
from .database import Database, DriverErrors
from .errors import ChangeRefused, StorageUnavailable, Unstorable, driver_words
from .write import Write, add_users

T = TypeVar("T")
log = logging.getLogger(__name__)
LARGEST_GROUP: Final = 512
"""Limit of writes per transaction: beyond this the fsync is a small part of its cost, and all callers wait longer."""

GROUP_S: Final = 1.0
"""Seconds after which a group takes no further write: callers take silence of several seconds for a lost database."""

LATER_S: Final = 0.5
"""Longest wait of a `WriteLater` for a group that it can join, in seconds."""

LOG_EVERY_S: Final = 1.0
"""Minimum interval of logged failures: callers retry fifty times a second, and fail for the same reason."""

TRIES: Final = 3
"""Attempts at a transaction that conflicts with one of another server."""
APART_S: Final = 0.02

LONGEST_S: Final = 10.0
"""A commit that takes longer is interrupted; its callers have timed out by then."""

Outcome: TypeAlias = int | ChangeRefused | StorageUnavailable
"""The result of one write: the answer that its class documents, or the error that refused it."""
LEFT: Final = StorageUnavailable("the group took too long")
"""The outcome of a write that is still to be written, with the next group."""
LOCKED: Final = "55P03"
"""PostgreSQL `lock_not_available`: another server held the row for longer than `lock_timeout`."""
ELSEWHERE: Final = "another server is writing the same"
IMPATIENT: Final = "SET LOCAL lock_timeout = '10ms'"
CONFLICTS: Final = ("40001", "40P01")
"""PostgreSQL `serialization_failure`, `deadlock_detected`: the transaction may succeed if repeated."""


@define(eq=False)
class WriteRequest(Ask[int]):
    """Asks the writer to commit a write; answered when durable. Fails with ChangeRefused or StorageUnavailable."""

    must_finish = True

    write: Write


@frozen(eq=False)
class WriteLater:
    """Tells the writer to commit a change with its next group, within `LATER_S`. `refused` is called if it cannot.

    A later one of the same `key` takes its place. It is lost if the writer dies meanwhile.
    """

    key: Hashable
    change: Change
    refused: Callable[[Exception], None]


@frozen(eq=False)
class Flush(Ask[None]):
    """Asks the writer to commit all that waits; answered when that was tried."""


class _LaterDue:
    """To itself: the oldest `WriteLater` may have waited long enough."""


class _GroupLeft:
    """To itself: some writes of the last group are still to be written."""


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
        self.later: dict[Hashable, WriteLater] = {}
        self.later_since = math.inf
        self.connection: Connection | None = None
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
            case WriteLater(key):
                if not self.later:
                    self.later_since = trio.current_time()
                    context.set_timer("later", LATER_S, _LaterDue())
                self.later[key] = message
                if len(self.later) >= LARGEST_GROUP:
                    await self.commit()
            case _LaterDue():
                if self.later and trio.current_time() >= self.later_since + LATER_S:
                    await self.commit()
            case _GroupLeft():
                pass  # `on_idle` commits, with what has arrived meanwhile
            case Flush():
                while self.waiting or self.later:
                    await self.commit()
                message.reply(None)
            case ReadStatistics():
                message.reply(self.statistics)
            case _:
                context.unhandled(message)

    async def on_idle(self, context: Context) -> None:
        """Commit the group when the mailbox is empty."""
        if self.waiting:
            await self.commit()
        if self.waiting:
            context.ref.tell(_GroupLeft())

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Commit what is still to be written, and close the connection. The runtime fails the unanswered requests."""
        while (self.waiting or self.later) and not reason.abnormal:
            await self.commit()
        if self.connection is not None:
            await _in_thread(self.connection.close)  # also when killed: only this actor can close it, and it is quick

    async def commit(self) -> None:
        """Commit the waiting writes in one transaction and answer every request."""
        later, self.later = list(self.later.values()), {}
        # Those of no thread first: a node renews its lease however much there is to write.
        group, self.waiting = sorted(self.waiting, key=lambda ask: ask.write.of_thread is not None), []
        began = self.began = trio.current_time()
        try:
            writes: list[Write] = [*map(attrgetter("change"), later), *map(attrgetter("write"), group)]
            outcomes = await _in_thread(partial(self._commit, writes, len(later) or 1))
        except self.failures as error:
            self._failed(group, later, error)
            return
        finally:
            self.began = None
        self.file_gone = False
        self.statistics.groups += 1
        events = sum([len(write.events) for write in writes if isinstance(write, Change)])
        self.on_commit(events, trio.current_time() - began)
        for later_write, outcome in zip(later, outcomes[: len(later)], strict=True):
            if isinstance(outcome, Exception):
                later_write.refused(outcome)
        for ask, outcome in zip(group, outcomes[len(later) :], strict=True):
            if outcome is LEFT:
                self.waiting.append(ask)
            elif isinstance(outcome, Exception):
                self.statistics.refused += isinstance(outcome, ChangeRefused)
                ask.fail(outcome)
            else:
                self.statistics.changes += 1
                ask.reply(outcome)

    def _failed(self, group: Sequence[WriteRequest], later: Sequence[WriteLater], error: Exception) -> None:
        self.statistics.failed_groups += 1
        reason = error.reason if isinstance(error, StorageUnavailable) else driver_words(error)
        for ask in group:
            ask.fail(StorageUnavailable(reason))
        for each in later:
            each.refused(StorageUnavailable(reason))
        if isinstance(error, StorageUnavailable):  # the database file is gone: log it once
            news, self.file_gone = not self.file_gone, True
        else:
            news = trio.current_time() >= self.logged_at + LOG_EVERY_S
            self.logged_at = trio.current_time() if news else self.logged_at
        if news:
            log.error("storage.commit_failed", extra={"reason": reason, "changes": len(group) + len(later)})

    async def _watch(self) -> None:
        """Interrupt a commit that takes longer than LONGEST_S: its thread cannot be abandoned."""
        while True:
            await trio.sleep(LONGEST_S / 4)
            connection, since = self.connection, self.began
            if connection is not None and since is not None and trio.current_time() > since + LONGEST_S:
                self.database.interrupt(connection.connection.driver_connection)

    def _commit(self, group: Sequence[Write], least: int) -> list[Outcome]:
        self.database.check()
        tries = TRIES
        while True:
            tries -= 1
            if self.connection is None:
                self.connection = self.database.writing.connect()
            try:
                return commit_group(self.connection, group, least)
            except BaseException as error:
                # The connection is in an unknown state: the next attempt gets a new one.
                connection, self.connection = self.connection, None
                connection.invalidate()
                connection.close()
                if not tries or not isinstance(error, self.failures) or _sqlstate(error) not in CONFLICTS:
                    raise
            time.sleep(random.uniform(0.0, APART_S))  # noqa: S311 - jitter, so that the two servers do not collide again


async def _in_thread(work: Callable[[], T]) -> T:
    """Return the result of `work` in a worker thread, or raise its error. Not cancelled meanwhile, nor before.

    `trio.to_thread.run_sync` also passes a limiter, copies the context and names the thread after the task: half as
    much work again for the loop.
    """
    task, token = trio.lowlevel.current_task(), trio.lowlevel.current_trio_token()
    trio.lowlevel.start_thread_soon(
        work, lambda outcome: token.run_sync_soon(trio.lowlevel.reschedule, task, outcome), "understudy-writer"
    )
    result: T = await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
    return result


def commit_group(connection: Connection, group: Sequence[Write], least: float = math.inf) -> list[Outcome]:
    """Commit a group of writes in one transaction. Return the outcome of each: the result of its `apply`, or its error.

    After `GROUP_S` no write is begun but the first `least` ones; the outcome of the others is LEFT.

    Raises the errors of `DriverErrors` if the transaction as a whole fails; then nothing was stored.
    """
    try:
        changes = [work for work in group if isinstance(work, Change) and work.only_events]
        if connection.dialect.name == "postgresql" and 0 < len(changes) == len(group):
            append_all(connection, changes, alone=True)
            return [True] * len(group)
        with connection.begin():
            return _store(connection, group, least, _at_once, lambda connection, work: work.apply(connection))
    except Exception as error:
        if _is_of_the_database(error):
            raise
        locked = _sqlstate(error) == LOCKED
    with connection.begin():
        if locked:
            _driver(connection).execute(IMPATIENT)
        return _store(connection, group, least, _together, _attempt)


def _store(
    connection: Connection,
    group: Sequence[Write],
    least: float,
    together: Callable[[Connection, Callable[[Connection, list[Any]], None], list[Any]], bool],
    attempt: Callable[[Connection, Write], Outcome],
) -> list[Outcome]:
    """Execute the writes of a group: rows of several by `together`, the other writes by `attempt`."""
    outcomes: list[Outcome] = [LEFT] * len(group)
    until = time.monotonic() + GROUP_S
    if connection.dialect.name == "postgresql":
        # The users of new threads first, sorted by name, so that two servers cannot deadlock. If one of the names
        # cannot be stored, each user is inserted with its change instead.
        new = {
            work.owner: work.thread.created_at for work in group if isinstance(work, Change) and work.thread is not None
        }
        if new:
            together(connection, add_users, sorted(new.items()))
    if (appends := _appends(group)) and together(connection, append_all, [work for _, work in appends]):
        for place, _ in appends:
            outcomes[place] = True
    for place, work in enumerate(group):
        if outcomes[place] is LEFT:
            if place >= least and time.monotonic() > until:
                break
            outcomes[place] = attempt(connection, work)
    return outcomes


def _appends(group: Sequence[Write]) -> list[tuple[int, Change]]:
    """Return the append-only changes with their positions, except those of threads that other writes touch too."""
    plain = [(place, work) for place, work in enumerate(group) if isinstance(work, Change) and work.only_appends]
    if len(plain) in (0, len(group)):
        return plain
    places = {place for place, _ in plain}
    touched = {work.of_thread for place, work in enumerate(group) if place not in places}
    return [(place, work) for place, work in plain if work.of_thread not in touched]


def _at_once(connection: Connection, write: Callable[[Connection, list[T]], None], rows: list[T]) -> bool:
    """Run `write(connection, rows)`. Return True."""
    write(connection, rows)
    return True


def _driver(connection: Connection) -> Any:
    """Return the driver's connection: statements through SQLAlchemy cost as much as the rest of a small change."""
    return connection.connection.driver_connection


def _together(connection: Connection, write: Callable[[Connection, list[T]], None], rows: list[T]) -> bool:
    """Run `write(connection, rows)` in a savepoint. Return False, with nothing written, if it fails."""
    driver = _driver(connection)
    driver.execute("SAVEPOINT together")
    try:
        write(connection, rows)
    except Exception as error:  # it is assigned to a write when each is retried alone
        if _is_of_the_database(error):
            raise
        driver.execute("ROLLBACK TO together")
        if _sqlstate(error) == LOCKED:
            driver.execute(IMPATIENT)  # one lock timeout per group is enough
        return False
    return True  # the savepoint ends with the transaction; RELEASE would be another round trip


def _attempt(connection: Connection, work: Write, *, again: bool = False) -> Outcome:
    driver = _driver(connection)
    driver.execute("SAVEPOINT change")
    try:
        outcome: Outcome = work.apply(connection)
    except ChangeRefused as error:
        outcome = error
    except Exception as error:
        if _is_of_the_database(error):
            raise
        locked = _sqlstate(error) == LOCKED
        outcome = StorageUnavailable(ELSEWHERE) if locked else Unstorable(driver_words(error))
        outcome.__cause__ = error
    if isinstance(outcome, Exception):
        driver.execute("ROLLBACK TO change")
    driver.execute("RELEASE change")
    if isinstance(outcome, StorageUnavailable):
        driver.execute(IMPATIENT)  # other writes of the group may need rows of the same server
    elif isinstance(outcome, Unstorable) and isinstance(outcome.__cause__, IntegrityError) and not again:
        return _attempt(connection, work, again=True)  # a row that another server inserted meanwhile is visible now
    return outcome


def _is_of_the_database(error: Exception) -> bool:
    """Return whether an error is of the database (full, locked, damaged), so that the whole group fails."""
    if _sqlstate(error) == LOCKED:
        return False
    return isinstance(error, OperationalError | InternalError) or type(error) is DatabaseError


def _sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of a PostgreSQL error; None for SQLite."""
    return getattr(getattr(error, "orig", error), "sqlstate", None)
