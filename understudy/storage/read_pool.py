"""A pool of reading threads. Waiting reads are batched, as the trip to a thread costs as much as a small query.

Reads requested in one pass of the event loop, or while all threads were busy, share a thread and a transaction, in
which the same question is asked once, and one query answers all of a kind that can be asked together (`Joined`). A
thread whose reads have timed out keeps its slot and its connection until it ends.

The deadline judges the database, not the queue: it begins again whenever a query has ended that a read waits for. So a
server that has much to do is slow, and is not told that its database is away.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from functools import partial
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, TypeVarTuple

import trio
from attrs import define, field
from sqlalchemy import Connection, Engine

from actors.behaviours import Breaker, CircuitOpen, CircuitState

from .database import DriverErrors, ReadableDatabase
from .errors import StorageUnavailable

if TYPE_CHECKING:
    from outcome import Outcome

log = logging.getLogger(__name__)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
TOGETHER: Final = 32
"""Limit of reads per transaction: the last of them waits for all the others."""

BUSY_S: Final = 0.25
"""A longer wait for a thread is logged: all threads are busy or stuck."""
LOG_EVERY_S: Final = 1.0
ARCHIVE_S: Final = 10.0
"""Timeout of a read of the archive, including the wait for earlier ones."""

TRIAL_S: Final = 0.5
"""How long a read waits, while the circuit is open, for the trial read of another task."""


@define(eq=False)
class _Read(Generic[T]):
    query: Callable[..., T]
    args: tuple[Any, ...]
    asked_at: float = field(factory=trio.current_time)
    settled: trio.Event = field(factory=trio.Event)
    answer: T | None = None
    error: Exception | None = None
    batch: "_Batch | None" = None


_Outcome: TypeAlias = tuple[Any, Exception | None, float]
Joined: TypeAlias = Mapping[Callable[..., Any], Callable[[Connection, Sequence[Any]], Sequence[Any]]]
"""For queries, what returns the answers to many of their argument tuples at once."""


@define(eq=False)
class _Batch:
    """Reads that share a thread, those of a kind together, with the outcomes so far, which the thread appends."""

    reads: Sequence[_Read[Any]]
    outcomes: list[_Outcome] = field(factory=list)


class ReadPool:
    """Reads through `engine` in up to `threads` threads; a query takes at most `deadline_s` seconds.

    With a `breaker`, reads are refused at once while the circuit is open. `on_begin` is called when reads get a thread,
    with the times at which they were requested and the time now; `on_end` after each read, with the name of its query
    and the seconds that the query took.
    """

    def __init__(
        self,
        engine: Engine,
        threads: int,
        deadline_s: float,
        breaker: Breaker | None = None,
        on_begin: Callable[[Sequence[float], float], None] = lambda *_: None,
        on_end: Callable[[str, float], None] = lambda *_: None,
        joined: Joined | None = None,
    ) -> None:
        self._joined = joined or {}
        self._breaker = breaker
        self._on_begin = on_begin
        self._on_end = on_end
        self._logged_at = -math.inf
        self._engine = engine
        self._errors = DriverErrors.of(engine)
        self._deadline_s = deadline_s
        self._threads = self._free = threads
        self._gathering = False
        self._waiting: deque[_Read[Any]] = deque()
        self._working: set[_Batch] = set()
        self._ended = 0

    @property
    def at_work(self) -> int:
        """The number of busy threads; each may serve several reads."""
        return self._threads - self._free

    @property
    def waiting(self) -> int:
        """The number of reads that wait for a thread."""
        return len(self._waiting)

    async def read(self, query: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        """Return `query(connection, *args)`. Raises its errors, StorageUnavailable or Unstorable."""
        breaker = self._breaker
        if breaker is None or breaker.state is CircuitState.CLOSED:  # usual: avoid the cost of the context manager
            return await self._read(query, args)
        until = trio.current_time() + TRIAL_S
        while True:
            try:
                async with breaker:
                    return await self._read(query, args)
            except CircuitOpen as refused:
                if refused.retry_after_s > 0 or trio.current_time() >= until:
                    raise StorageUnavailable("it did not answer lately") from None
            await trio.sleep(TRIAL_S / 20)  # another read is the trial

    async def _read(self, query: Callable[[Connection, *Ts], T], args: tuple[*Ts]) -> T:
        read = _Read(query, args)
        self._waiting.append(read)
        try:
            if not self._gathering:
                self._gathering = True
                try:  # yield once, so that other runnable tasks can add reads to the batch
                    await trio.lowlevel.checkpoint()
                finally:
                    self._gathering = False
                    self._begin()
            await self._settled(read)
        finally:
            if not read.settled.is_set() and read in self._waiting:
                self._waiting.remove(read)
                self._log_wait(trio.current_time() - read.asked_at)
        if read.error is not None:
            raise read.error
        return read.answer  # type: ignore[return-value]

    async def _settled(self, read: _Read[Any]) -> None:
        """Wait for the answer to a read. Raises StorageUnavailable if none of the queries before it ends in time."""
        while not read.settled.is_set():
            before = self._progress(read)
            with trio.move_on_after(self._deadline_s):
                await read.settled.wait()
            # The loop may have been held for longer than the deadline, while the thread went on.
            if not read.settled.is_set() and self._progress(read) == before:
                if self._breaker is not None:
                    self._breaker.fail()
                raise StorageUnavailable(f"no answer within {self._deadline_s:g} s")

    def _progress(self, read: _Read[Any]) -> tuple[_Batch | None, int]:
        """Return what changes as the thread of a read goes on, or any thread while the read waits for one."""
        if read.batch is not None:
            return read.batch, len(read.batch.outcomes)
        return None, self._ended + sum(len(batch.outcomes) for batch in self._working)

    def _begin(self) -> None:
        """Start threads for the waiting reads, as many as are free.

        Not by `to_thread.run_sync`, which may be cancelled before its thread starts: the slot, and the reads of other
        tasks in the batch, would be lost. A thread belongs to no task; it releases its slot itself.
        """
        while self._free and self._waiting:
            self._free -= 1
            reads = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
            now = trio.current_time()
            self._on_begin([read.asked_at for read in reads], now)
            if now - reads[0].asked_at > BUSY_S:
                self._log_wait(now - reads[0].asked_at)
            kinds: dict[object, list[_Read[Any]]] = {}
            for read in reads:
                kinds.setdefault(read.query, []).append(read)
            batch = _Batch(list(chain.from_iterable(kinds.values())))
            self._working.add(batch)
            for read in reads:
                read.batch = batch
            deliver = partial(self._deliver, trio.lowlevel.current_trio_token(), batch)
            work = partial(_execute, self._engine, self._errors, batch, self._joined)
            trio.lowlevel.start_thread_soon(work, deliver, "understudy-reader")

    def _log_wait(self, waited_s: float) -> None:
        """Log that reads wait for long, at most once a second."""
        now = trio.current_time()
        if waited_s > BUSY_S and now >= self._logged_at + LOG_EVERY_S:
            self._logged_at = now
            extra = {"threads": self._threads, "at_work": self.at_work, "waiting": self.waiting}
            log.warning("storage.readers_busy", extra=extra | {"waited_s": round(waited_s, 3)})

    def _deliver(self, token: trio.lowlevel.TrioToken, batch: _Batch, outcomes: "Outcome[Sequence[_Outcome]]") -> None:
        """Pass the outcomes from their thread to the event loop."""
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(self._finished, batch, outcomes.unwrap())

    def _finished(self, batch: _Batch, outcomes: Sequence[_Outcome]) -> None:
        self._free += 1
        self._working.remove(batch)
        self._ended += len(outcomes)
        if self._breaker is not None:
            failed = all(isinstance(error, StorageUnavailable) for _, error, _ in outcomes)
            (self._breaker.fail if failed else self._breaker.succeed)()
        for read, (answer, error, seconds) in zip(batch.reads, outcomes, strict=True):
            read.answer, read.error, read.batch = answer, error, None
            read.settled.set()
            self._on_end(getattr(read.query, "__name__", "read"), seconds)
        self._begin()


def _execute(engine: Engine, errors: DriverErrors, batch: _Batch, joined: Joined) -> Sequence[_Outcome]:
    """Return the answer or the error of each read; all of them see one snapshot of the database.

    A pooled connection that has died meanwhile fails as the transaction begins, and is replaced once.
    """
    for lasting in (False, True):
        try:
            with engine.begin() as connection:
                for query, same in groupby(batch.reads, key=lambda read: read.query):
                    calls, together = [read.args for read in same], joined.get(query)
                    if together is None or len(calls) == 1 or not _join(connection, together, calls, batch.outcomes):
                        _ask_each(connection, query, calls, errors, batch.outcomes)
            break
        except Exception as error:  # a thread that raised would never release its slot
            if lasting or batch.outcomes or not getattr(error, "connection_invalidated", False):
                return [(None, errors.translate(error), 0.0)] * len(batch.reads)
    return batch.outcomes


def _join(
    connection: Connection,
    together: Callable[[Connection, Sequence[Any]], Sequence[Any]],
    calls: Sequence[tuple[Any, ...]],
    outcomes: list[_Outcome],
) -> bool:
    """Answer reads of one kind with one query. Return False if it fails."""
    began = time.perf_counter()
    try:
        answers = together(connection, calls)
    except Exception:  # of one of the reads, perhaps: asked alone, each gets its own
        return False
    seconds = (time.perf_counter() - began) / len(calls)
    outcomes += [(answer, None, seconds) for answer in answers]
    return True


def _ask_each(
    connection: Connection,
    query: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    errors: DriverErrors,
    outcomes: list[_Outcome],
) -> None:
    """Answer reads of one kind one after the other, the same question once."""
    for place, args in enumerate(calls):
        if args in calls[:place]:
            answer, failure, _ = outcomes[calls.index(args) - place]
            outcomes.append((copy(answer), failure, 0.0))
            continue
        began, answer, failure = time.perf_counter(), None, None
        try:
            answer = query(connection, *args)
        except Exception as error:  # of the database, or of the query, such as InvalidCursor
            failure = errors.translate(error)
        outcomes.append((answer, failure, time.perf_counter() - began))


class Archive(ReadPool):
    """Reads in a thread of its own, so that the reads of chats do not wait for an export."""

    def __init__(self, database: ReadableDatabase) -> None:
        super().__init__(database.reading, 1, ARCHIVE_S)
