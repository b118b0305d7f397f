"""The interface of storage. Reads run in worker threads; writes are sent to the one writer actor."""

import math
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from typing import Final

import trio

from actors import ActorDied, ActorRef, AskTimeout, Backoff, MailboxFull
from actors.behaviours import Breaker, CircuitChange, CircuitSpec, CircuitState, FailureCount

from . import queries
from .acts import Deed
from .changes import Change
from .database import Database
from .deletion import GONE, MORE
from .errors import StorageUnavailable
from .queries import Which
from .read_pool import Archive, Joined, ReadPool
from .records import Fence, LoggedEvent, Message, Page, RunRecord, StepRecord, Thread
from .sqlite import READERS
from .thread_writes import delete_thread, trim_log
from .write import Write, probe
from .writer import Flush, WriteLater, WriteRequest

COMMIT_DEADLINE_S: Final = 5.0
"""Default deadline of a write: below the timeout of an agent, so that a user hears first that storage is down."""
READ_DEADLINE_S: Final = 5.0
PROBE_DEADLINE_S: Final = 1.0
CIRCUIT: Final = CircuitSpec(
    trip=FailureCount(limit=5), reset=Backoff(min_s=0.1, max_s=1.0), counts=(StorageUnavailable,)
)
"""Reads are refused after five failed transactions in a row; then one trial read per 0.1 to 1 s."""
RETRY_S: Final = 0.02
"""Pause between attempts to reach the writer: a restart without backoff takes about a millisecond."""
WAITING: Final = 512
"""Permits for concurrent writes: the size of one group, so that the writer's mailbox never fills. More wait here."""

JOINED: Final[Joined] = {
    queries.last_seqs: queries.last_seqs_of_many,
    queries.thread_with_open_runs: queries.many_with_open_runs,
}
"""The reads of a message that is accepted, which come in crowds."""


class Store:
    """Threads, messages, runs and events, by owner; and the way to the database for all others.

    `read(query, *arguments)` returns what a function returns that takes a connection and these arguments: see
    `queries`, and the modules of the features. `search` does so in a thread of its own, for reads that may take long.

    `writer` returns the ref of the StoreWriter of the same database, or None while there is none. `ended` says whether
    there will be none any more: then no write waits for it. Every read and write
    raises StorageUnavailable if the database cannot be used within its deadline, and Unstorable for values that no
    database can hold. The deadline begins again whenever the database has answered others for which this read or write
    waits. `on_circuit` is called when the circuit of reads opens or closes; `on_reads` when reads get a thread, with
    the times at which they were requested and the time now; `on_read` after each, with the name of its query and the
    seconds that it took.
    """

    def __init__(
        self,
        database: Database,
        writer: Callable[[], ActorRef | None],
        *,
        ended: Callable[[], bool] = bool,
        deadline_s: float = COMMIT_DEADLINE_S,
        on_circuit: Callable[[CircuitChange], None] | None = None,
        on_reads: Callable[[Sequence[float], float], None] = lambda *_: None,
        on_read: Callable[[str, float], None] = lambda *_: None,
    ) -> None:
        self.database = database
        self.deadline_s = deadline_s
        self.on_write: Callable[[Write], Awaitable[None]] | None = None
        """Called with every write but changes, before its caller resumes; it must be quick and must not raise."""
        self.on_act: Callable[[Deed], Write] | None = None
        """Returns what stores a deed; None: none is stored. See `acts`."""
        self._writer = writer
        self._ended = ended
        self._permits = trio.Semaphore(WAITING)
        self._committed = 0
        # No call timeout: each read has a deadline, and if both expired, as after a pause, this one would be reported.
        self.breaker = Breaker("database", CIRCUIT, call_timeout_s=math.inf, on_change=self._circuit_changed)
        self._on_circuit = on_circuit
        self._reads_refused = False
        self.readers = ReadPool(database.reading, READERS, READ_DEADLINE_S, self.breaker, on_reads, on_read, JOINED)
        self.read = self.readers.read
        self.archive = Archive(database)
        # A search reads all messages of its user: here it delays no other read.
        self.search = ReadPool(database.reading, 1, READ_DEADLINE_S, on_end=on_read).read

    async def commit(self, write: Write, deadline_s: float | None = None, *, urgent: bool = False) -> int:
        """Store a change or another write; it is durable when this returns. Return its answer.

        Retried while the writer restarts: storing a change twice is storing it once. Raises Fenced, SequenceConflict
        and the other ChangeRefused (nothing was stored), or StorageUnavailable after the deadline (it may or may not
        have been stored: commit it again, or read), if no other write was committed in that time. `urgent`: see
        `commit_urgent`.
        """
        within_s = self.deadline_s if deadline_s is None else deadline_s
        if not urgent:
            try:  # no cancel scope on the usual path: it would cost more than the ask, which has a timeout of its own
                self._permits.acquire_nowait()
            except trio.WouldBlock:
                await self._wait_for_permit(within_s)
        before, deadline = self._committed, trio.current_time() + within_s
        cause: StorageUnavailable | None = None
        try:
            while True:
                try:
                    writer = self._writer()
                    if writer is None:
                        raise StorageUnavailable("the writer is not there")
                    left_s = deadline - trio.current_time()
                    answer = await writer.ask(WriteRequest(write), timeout_s=max(left_s, RETRY_S))
                except (ActorDied, AskTimeout, MailboxFull, StorageUnavailable) as error:
                    cause = error if isinstance(error, StorageUnavailable) else cause
                    if self._ended():
                        raise StorageUnavailable("the server is at its end") from error
                    if deadline - trio.current_time() <= RETRY_S:
                        if urgent or not isinstance(error, AskTimeout) or self._committed == before:
                            # The database's reason says more than the timeout of the last try.
                            raise StorageUnavailable(str(error) if cause is None else cause.reason) from error
                        before, deadline = self._committed, trio.current_time() + within_s
                    await trio.sleep(RETRY_S)
                else:
                    self._committed += not urgent
                    if self._reads_refused:
                        self.breaker.try_now()  # it is one server: where a write passes, a read may
                    return answer
        finally:
            if not urgent:
                self._permits.release()
                if self.on_write is not None and not isinstance(write, Change):
                    # Also if the outcome is unknown or the caller was cancelled: the write may have been stored.
                    with trio.CancelScope(shield=True):
                        await self.on_write(write)

    async def _wait_for_permit(self, within_s: float) -> None:
        """Wait for a permit to write. Raises StorageUnavailable if nothing is committed for so many seconds."""
        while True:
            before = self._committed
            with trio.move_on_after(within_s):
                await self._permits.acquire()
                return
            if self._committed == before:
                raise StorageUnavailable("too many writes are waiting")

    def commit_later(self, key: Hashable, change: Change, refused: Callable[[Exception], None]) -> None:
        """Store a change with the next transaction, within half a second: before all that is committed after this.

        A later change of the same `key` takes its place. `refused` is called with the error if it cannot be stored. If
        the writer dies meanwhile it is lost, without a call.
        """
        writer = self._writer()
        if writer is None or not writer.try_tell(WriteLater(key, change, refused)):
            refused(StorageUnavailable("the writer has no room for what may be lost"))

    async def flush(self) -> None:
        """Store what `commit_later` was given, so that a read finds it; what fails is reported there."""
        writer = self._writer()
        if writer is not None:
            with suppress(ActorDied, AskTimeout, MailboxFull):
                await writer.ask(Flush(), timeout_s=self.deadline_s)

    async def commit_urgent(self, write: Write, deadline_s: float | None = None) -> int:
        """Store a write ahead of those that wait in `commit`; `on_write` is not called.

        The lease of a node is renewed this way: a server with many writes waiting is not dead. Raises as `commit`.
        """
        return await self.commit(write, deadline_s, urgent=True)

    def _circuit_changed(self, change: CircuitChange) -> None:
        self._reads_refused = change.new is CircuitState.OPEN
        if self._on_circuit is not None:
            self._on_circuit(change)

    async def delete_thread(
        self, owner: str, thread_id: str, fence: Fence | None = None, *, unless_since: float | None = None
    ) -> bool:
        """Delete a thread with its messages, events, runs and steps. Return False if there is no such thread.

        `unless_since`: also return False if it was used since that time (Unix seconds) or has an unfinished run.

        A long thread is deleted in several transactions, so that other writes need not wait; a repeated call continues
        an interrupted deletion. Raises Fenced if the thread is not under this fence.
        """
        removed = False
        while (outcome := await self.commit(delete_thread(owner, thread_id, fence, unless_since))) == MORE:
            removed = True
        return removed or outcome == GONE

    async def trim(self, owner: str, thread_id: str, before_seq: int, *, rests: float = 0.0) -> None:
        """Delete the thread's events before `before_seq`, but none of an unfinished run. Messages, runs and steps stay.

        A long log is trimmed in several transactions, so that other writes need not wait; after each, pause for `rests`
        times its duration.
        """
        began = trio.current_time()
        while await self.commit(trim_log(owner, thread_id, before_seq)):
            await trio.sleep(rests * (trio.current_time() - began))
            began = trio.current_time()

    async def thread(self, owner: str, thread_id: str) -> Thread | None:
        """Return a thread, or None."""
        return await self.read(queries.thread, owner, thread_id)

    async def threads(
        self,
        owner: str,
        query: str = "",
        cursor: str | None = None,
        limit: int = 50,
        which: Which = "active",
        tags: Sequence[str] = (),
    ) -> Page[Thread]:
        """Return the owner's threads, latest first; with `query` only those with a match in the title or a message.

        `which` and `tags` are as in `queries.threads`.

        Raises InvalidCursor.
        """
        read = self.search if query.strip() else self.read
        return await read(queries.threads, owner, query, cursor, limit, which, tuple(tags))

    async def message(self, owner: str, message_id: str) -> Message | None:
        """Return a message, or None."""
        return await self.read(queries.message, owner, message_id)

    async def messages(
        self, owner: str, thread_id: str, cursor: str | None = None, limit: int = 100, *, forward: bool = False
    ) -> Page[Message]:
        """Return the thread's last `limit` messages, oldest first; `next_cursor` leads to the page before.

        `forward`: return the first messages; the cursor leads to the page after. Raises InvalidCursor.
        """
        query = queries.messages_forward if forward else queries.messages
        return await self.read(query, owner, thread_id, cursor, limit)

    async def events(self, owner: str, thread_id: str, after: int, limit: int = 500) -> list[LoggedEvent]:
        """Return up to `limit` events of the thread after number `after`, in order."""
        return await self.read(queries.events, owner, thread_id, after, limit)

    async def run_events(self, owner: str, thread_id: str, run_id: str) -> list[LoggedEvent]:
        """Return all events of a run, in order."""
        return await self.read(queries.run_events, owner, thread_id, run_id)

    async def run(self, run_id: str) -> RunRecord | None:
        """Return a run of any owner, or None."""
        return await self.read(queries.run, run_id)

    async def runs(
        self,
        owner: str,
        *,
        status: str | None = None,
        agent: str | None = None,
        thread_id: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[RunRecord]:
        """Return the owner's runs, newest first: of one status, agent or thread if given. Raises InvalidCursor."""
        return await self.read(queries.runs, owner, status, agent, thread_id, cursor, limit)

    async def unfinished_runs(self, owner: str | None = None, thread_id: str | None = None) -> list[RunRecord]:
        """Return the unfinished runs of all owners, of an owner, or of a thread, oldest first."""
        return await self.read(queries.unfinished_runs, owner, thread_id)

    async def steps(self, run_id: str) -> list[StepRecord]:
        """Return the recorded steps of a run, in order."""
        return await self.read(queries.steps, run_id)

    async def check(self) -> None:
        """Check that the database can be read and written; raises StorageUnavailable within a second if not.

        Writes a page, and checks that the database file is still the one that was opened.
        """
        deadline = trio.current_time() + PROBE_DEADLINE_S
        # The writer first: its error says most. Its deadline leaves time for the read. The one of the read does not
        # include it: on a busy machine both would pass in the same moment, and the error would be lost.
        await self.commit(probe(), min(self.deadline_s, PROBE_DEADLINE_S - 2 * RETRY_S))
        try:
            with trio.fail_at(deadline):
                await self.read(queries.alive)
        except trio.TooSlowError:
            raise StorageUnavailable(f"no answer within {PROBE_DEADLINE_S:g} s") from None
