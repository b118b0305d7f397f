"""The face of storage: what everyone else calls. Reads run in worker threads, writes are asked of the one writer."""

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import trio

from actors import ActorDied, ActorRef, AskTimeout, Backoff, MailboxFull
from actors.behaviours import Breaker, CircuitChange, CircuitSpec, FailureCount

from . import agent_memory, nodes, queries, revocations
from .agent_memory import Forget, ForgetExpired, Remember, Remembered
from .database import Database
from .deletion import GONE, MORE, MergeFulltext, RemoveFiles, RemoveUser
from .errors import StorageUnavailable
from .read_pool import ReadPool
from .revocations import RevokedSession, RevokeSession
from .rows import EventPage, File, History, LoggedEvent, Message, Page, RunRecord, StepRecord, Thread, ThreadPage
from .sqlite import READERS
from .writer import WriteRequest
from .writes import (
    LEASE_S,
    AddFile,
    Change,
    ClaimThread,
    DeleteThread,
    Fence,
    GiveFeedback,
    JoinNodes,
    LeaveNodes,
    ProbeWrite,
    ReleaseThread,
    RenameThread,
    RenewNode,
    TrimLog,
    Write,
)

T = TypeVar("T")
COMMIT_DEADLINE_S: Final = 5.0
"""As long as an ask waits by default; a user should hear of a storage that is away sooner than of a slow agent."""
READ_DEADLINE_S: Final = 5.0
PROBE_DEADLINE_S: Final = 1.0
CIRCUIT: Final = CircuitSpec(
    trip=FailureCount(limit=5), reset=Backoff(min_s=0.1, max_s=1.0), counts=(StorageUnavailable,)
)
"""Five transactions in a row that failed; whether it is back is tried by one read at a time, each second at least."""
RETRY_S: Final = 0.02
"""Before another try at the writer: a restart without backoff takes about a millisecond."""
LARGEST_PAGE: Final = 1000
"""Rows of one read, whatever was asked for."""
WAITING: Final = 512
"""Writes that are with the writer at a time: as many as fit its mailbox and one group. More wait their turn here."""


class Store:
    """Threads, messages, runs, steps, events and files, each in its owner's space.

    `writer` gives the ref of the StoreWriter of the same database, or None while there is none.
    Every read and write raises StorageUnavailable when the database cannot be used within its deadline, and
    Unstorable for values that no database can hold. `on_circuit` is told when reads begin or cease to be refused;
    `on_reads` when reads have their thread: the times they were asked at, and the time now.
    """

    def __init__(
        self,
        database: Database,
        writer: Callable[[], ActorRef | None],
        *,
        deadline_s: float = COMMIT_DEADLINE_S,
        on_circuit: Callable[[CircuitChange], None] | None = None,
        on_reads: Callable[[Sequence[float], float], None] = lambda *_: None,
    ) -> None:
        self.database = database
        self.deadline_s = deadline_s
        self.on_write: Callable[[Write], Awaitable[None]] | None = None
        """Told of every work but changes, before who asked for it is answered; it must end soon, and not raise."""
        self._writer = writer
        self._permits = trio.Semaphore(WAITING)
        # No limit of its own: each read has one, and of two that are over, as after a pause, the outer one would speak.
        self.breaker = Breaker("database", CIRCUIT, call_timeout_s=math.inf, on_change=on_circuit)
        self._read_pool = ReadPool(database.reading, READERS, READ_DEADLINE_S, self.breaker, on_reads)
        # A search reads all that its user ever said: it has a thread of its own, and nobody else waits for it.
        self._search_pool = ReadPool(database.reading, 1, READ_DEADLINE_S)

    async def commit(self, change: Change) -> None:
        """Store the change; it is durable when this returns.

        Tried again while the writer restarts: a change that is already stored is stored. Raises Fenced,
        SequenceConflict and the other ChangeRefused (nothing of it was stored), or StorageUnavailable after the
        deadline (it may or may not have been stored: commit it again, or read).
        """
        await self._submit(change)

    async def rename_thread(self, owner: str, thread_id: str, title: str) -> bool:
        """Give the thread another title; False when there is no such thread."""
        return bool(await self._submit(RenameThread(owner, thread_id, title)))

    async def delete_thread(
        self, owner: str, thread_id: str, fence: Fence | None = None, *, unless_since: float | None = None
    ) -> bool:
        """Remove the thread with its messages, events, runs and steps; False when there is no such thread.

        `unless_since`: also False when something was said in it since that time (Unix seconds), or runs in it.

        A long one in several transactions, so that other writes need not wait; what is cut off in between goes on when
        it is asked for again. Raises Fenced when it is not under this fence.
        """
        there = False
        while (left := await self._submit(DeleteThread(owner, thread_id, fence, unless_since))) == MORE:
            there = True
        return there or left == GONE

    async def remove_files(self, owner: str, ids: Sequence[str]) -> int:
        """Remove the rows of files whose bytes are gone; gives how many there were."""
        return await self._submit(RemoveFiles(owner, tuple(ids[:LARGEST_PAGE])))

    async def remove_user(self, owner: str) -> bool:
        """Remove what is left of a user who has no threads and no files; False when they have, or are not there."""
        while (left := await self._submit(RemoveUser(owner))) == MORE:
            pass
        return left == GONE

    async def merge_fulltext(self, *, begin: bool = False) -> bool:
        """Take what was removed out of the index of words, some at a time; whether there is more. `begin`: anew."""
        return bool(await self._submit(MergeFulltext(begin)))

    async def trim(self, owner: str, thread_id: str, before_seq: int, *, rests: float = 0.0) -> None:
        """Remove the thread's events before that number from its log, but none of a run that has not ended.

        Messages, runs and steps stay. In several transactions, so that other writes need not wait for a long log; after
        each it rests so many times as long as that took.
        """
        began = trio.current_time()
        while await self._submit(TrimLog(owner, thread_id, before_seq)):
            await trio.sleep(rests * (trio.current_time() - began))
            began = trio.current_time()

    async def give_feedback(self, owner: str, message_id: str, rating: str | None, note: str | None) -> bool:
        """Keep what the user thinks of an answer, in place of what was kept; False when there is no such answer."""
        return bool(await self._submit(GiveFeedback(owner, message_id, rating, note)))

    async def revoke_session(self, ending: RevokeSession) -> None:
        """Have it known to every server on the database that a session has ended."""
        await self._submit(ending)

    async def revoked_since(self, since: float, after: str, now: float) -> list[RevokedSession]:
        """The sessions that were ended since a time by the database's clock: see `understudy.storage.revocations`."""
        return await self._read(revocations.revoked_since, since, after, now)

    async def remember(self, value: Remember) -> bool:
        """Keep a value of an agent; False when it remembers as many of this user as it may. Raises NotStored."""
        return bool(await self._submit(value))

    async def forget(self, value: Forget) -> bool:
        """Forget a value of an agent; False when there was none."""
        return bool(await self._submit(value))

    async def forget_expired(self, now: float) -> None:
        """Remove the values of agents that have expired, in several transactions."""
        while await self._submit(ForgetExpired(now)):
            pass

    async def add_file(self, file: File) -> None:
        """Record a file whose bytes are stored. Raises AlreadyStored when its id is another file's."""
        await self._submit(AddFile(file))

    async def remembered(self, owner: str, agent: str, now: float) -> list[Remembered]:
        """What an agent remembers of a user, the latest first, without what has expired."""
        return await self._read(agent_memory.remembered, owner, agent, now)

    # nodes, where several servers share the database

    async def join(self, node: str, *, alone: bool = False, lease_s: float = LEASE_S) -> bool:
        """Enter a node among the living; False when another one stands against it (see `JoinNodes`)."""
        return bool(await self._submit_urgent(JoinNodes(node, alone, lease_s), trio.current_time() + self.deadline_s))

    async def renew(self, node: str, *, lease_s: float = LEASE_S, deadline_s: float = 1.0) -> bool:
        """Say that a node is alive; False when it was taken for dead by then, and has to join under another id."""
        return bool(await self._submit_urgent(RenewNode(node, lease_s), trio.current_time() + deadline_s))

    async def leave(self, node: str) -> bool:
        """Say that a node has ended, so that others may have its threads at once; False when it was not there."""
        return bool(await self._submit_urgent(LeaveNodes(node), trio.current_time() + self.deadline_s))

    async def claim(self, owner: str, thread_id: str, node: str) -> Fence | str:
        """Have a thread for a node: the fence to append under, or the id of the living node that has it.

        A thread that is not there yet is had by whoever stores it first. Raises StorageUnavailable after the deadline,
        also when the node itself is not alive all the while, or one that is dead still writes to the thread.
        """
        deadline = trio.current_time() + self.deadline_s
        while True:
            token = await self._submit(ClaimThread(owner, thread_id, node))
            if token:
                return Fence(node, token)
            holder = await self.owner_node(owner, thread_id)
            if holder is not None and holder != node:
                return holder
            if trio.current_time() >= deadline:
                raise StorageUnavailable("the thread cannot be had")
            await trio.sleep(RETRY_S)

    async def release(self, owner: str, thread_id: str, fence: Fence) -> bool:
        """Let go of a thread; False when it is no longer under this fence, or is gone."""
        return bool(await self._submit(ReleaseThread(owner, thread_id, fence)))

    async def owner_node(self, owner: str, thread_id: str) -> str | None:
        """The living node that has a thread, if one has."""
        return await self._read(nodes.owner_node, owner, thread_id)

    async def live_nodes(self) -> list[str]:
        """The nodes that are alive, in the order they joined."""
        return await self._read(nodes.living)

    async def orphans(self, node: str, *, own: bool = True) -> list[RunRecord]:
        """The unfinished runs whose thread no living other node has, oldest first; without `own` not this one's."""
        return await self._read(nodes.orphans, node, own)

    async def step_of_call(self, call_id: str) -> tuple[StepRecord, RunRecord] | None:
        """The newest step of this tool call with its run, whoever owns it."""
        return await self._read(nodes.step_of_call, call_id)

    async def bytes_used(self, what: str, *, user: str | None = None, tenant: str | None = None) -> int:
        """Return how many bytes the `files` or the `threads` of a user, or of all users of a tenant, have."""
        return await self._read(partial(queries.bytes_used, user=user, tenant=tenant), what)

    async def thread(self, owner: str, thread_id: str) -> Thread | None:
        """The thread of that name, if there is one."""
        return await self._read(queries.thread, owner, thread_id)

    async def thread_with_open_runs(self, owner: str, thread_id: str) -> tuple[Thread, list[RunRecord]] | None:
        """The thread of that name with its runs that have not ended, if there is one."""
        return await self._read(queries.thread_with_open_runs, owner, thread_id)

    async def threads(self, owner: str, query: str = "", cursor: str | None = None, limit: int = 50) -> Page[Thread]:
        """The owner's threads, the latest touched first; with `query` those with it in their title or a message.

        Raises InvalidCursor.
        """
        reader = self._search_pool if query.strip() else self._read_pool
        return await reader.read(queries.threads, owner, query, cursor, _page(limit))

    async def live_threads(self, owner: str, limit: int = 50) -> dict[str, int]:
        """The last seq of the owner's latest touched threads, by thread id."""
        return await self._read(queries.live_threads, owner, _page(limit))

    async def last_seqs(self, owner: str, ids: Sequence[str]) -> dict[str, int]:
        """The last seq of those of the ids that are the owner's threads, by thread id."""
        return await self._read(queries.last_seqs, owner, tuple(ids[:LARGEST_PAGE]))

    async def message(self, owner: str, message_id: str) -> Message | None:
        """The message of that name, if there is one."""
        return await self._read(queries.message, owner, message_id)

    async def messages(
        self, owner: str, thread_id: str, cursor: str | None = None, limit: int = 100, *, forward: bool = False
    ) -> Page[Message]:
        """The thread's last `limit` messages, oldest first; `next_cursor` leads to the page before them.

        `forward`: the first ones, and the cursor leads to the page after. Raises InvalidCursor.
        """
        query = queries.messages_forward if forward else queries.messages
        return await self._read(query, owner, thread_id, cursor, _page(limit))

    async def thread_page(self, owner: str, thread_id: str, cursor: str | None, limit: int) -> ThreadPage | None:
        """A page of the thread's messages, as `messages` gives it, and what is shown beside it, at one moment.

        None when there is no such thread.
        """
        return await self._read(queries.thread_page, owner, thread_id, cursor, _page(limit))

    async def history(self, owner: str, message_id: str, limit: int) -> History:
        """What was said on the way to a message, at most the last `limit` of it."""
        return await self._read(queries.history, owner, message_id, _page(limit))

    async def events(self, owner: str, thread_id: str, after: int, limit: int = 500) -> list[LoggedEvent]:
        """The thread's events from the one after `after`, in order, at most `limit`."""
        return await self._read(queries.events, owner, thread_id, after, _page(limit))

    async def event_page(self, owner: str, thread_id: str, after: int, limit: int) -> EventPage | None:
        """The thread and its events, as `events` gives them, at one moment; None when there is no such thread."""
        return await self._read(queries.event_page, owner, thread_id, after, _page(limit))

    async def log_page(
        self, owner: str, thread_id: str, after: int, limit: int = 500
    ) -> tuple[int | None, list[LoggedEvent]]:
        """The thread's last seq, and its events after `after`, at one moment; None where there is no such thread."""
        return await self._read(queries.log_page, owner, thread_id, after, _page(limit))

    async def run_events(self, owner: str, thread_id: str, run_id: str) -> list[LoggedEvent]:
        """All events of one run, in order."""
        return await self._read(queries.run_events, owner, thread_id, run_id)

    async def run(self, run_id: str) -> RunRecord | None:
        """The run of that id, whoever owns it."""
        return await self._read(queries.run, run_id)

    async def run_of_request(self, owner: str, request_id: str) -> RunRecord | None:
        """The run that this request to answer a message once more began, if there was one."""
        return await self._read(queries.run_of_request, owner, request_id)

    async def raw_texts(self, owner: str, message_ids: Sequence[str]) -> dict[str, bytes]:
        """Those of these messages that are kept as they were sent, sealed, by message id."""
        return await self._read(queries.raw_texts, owner, tuple(message_ids[:LARGEST_PAGE]))

    async def unfinished_runs(self, owner: str | None = None, thread_id: str | None = None) -> list[RunRecord]:
        """The runs that have not ended, oldest first: of everyone, of an owner, of one thread."""
        return await self._read(queries.unfinished_runs, owner, thread_id)

    async def steps(self, run_id: str) -> list[StepRecord]:
        """The recorded steps of a run, in order."""
        return await self._read(queries.steps, run_id)

    async def file(self, owner: str, file_id: str) -> File | None:
        """The owner's file of that id, if there is one."""
        return await self._read(queries.file, owner, file_id)

    async def files(self, owner: str, ids: Sequence[str]) -> list[File]:
        """Those of the ids that are the owner's files, in the order asked for."""
        return await self._read(queries.files, owner, tuple(ids[:LARGEST_PAGE]))

    async def check(self) -> None:
        """Return if the database can be read and written now; raises StorageUnavailable within a second if not.

        A page is written for it, and the file must still be the one that was opened.
        """
        try:
            with trio.fail_after(PROBE_DEADLINE_S):
                # First the writer, who knows best what is amiss; its last try is over before the second is.
                await self._submit(ProbeWrite(), min(self.deadline_s, PROBE_DEADLINE_S - 2 * RETRY_S))
                await self._read(queries.alive)
        except trio.TooSlowError:
            raise StorageUnavailable(f"no answer within {PROBE_DEADLINE_S:g} s") from None

    async def _submit(self, write: Write, deadline_s: float | None = None) -> int:
        """Have the writer store a write: wait for a permit, then ask and retry. Return its answer.

        Raises as `commit`; StorageUnavailable also if no permit came free within the deadline.
        """
        deadline = trio.current_time() + (self.deadline_s if deadline_s is None else deadline_s)
        try:  # no cancel scope on the usual path: it would cost more than the ask, which has a timeout of its own
            self._permits.acquire_nowait()
        except trio.WouldBlock:
            with trio.move_on_at(deadline) as scope:
                await self._permits.acquire()
            if scope.cancelled_caught:
                raise StorageUnavailable("too many writes are waiting") from None
        try:
            return await self._submit_urgent(write, deadline)
        finally:
            self._permits.release()
            if self.on_write is not None and not isinstance(write, Change):
                # Also if the outcome is unknown or the caller was cancelled: the write may have been stored.
                with trio.CancelScope(shield=True):
                    await self.on_write(write)

    async def _submit_urgent(self, write: Write, deadline: float) -> int:
        """Ask the writer, ahead of the writes that wait for a permit; retry until `deadline` on trio's clock.

        The lease of a node is renewed this way: a server with many writes waiting is not dead.
        """
        cause: StorageUnavailable | None = None
        while True:
            left_s = deadline - trio.current_time()
            try:
                writer = self._writer()
                if writer is None:
                    raise StorageUnavailable("the writer is not there")
                return await writer.ask(WriteRequest(write), timeout_s=max(left_s, RETRY_S))
            except (ActorDied, AskTimeout, MailboxFull, StorageUnavailable) as error:
                cause = error if isinstance(error, StorageUnavailable) else cause
                if left_s <= RETRY_S:  # the database's reason says more than the timeout of the last try
                    raise StorageUnavailable(str(error) if cause is None else cause.reason) from error
            await trio.sleep(RETRY_S)

    def read_statistics(self) -> dict[str, int]:
        """How many threads read, and how many reads wait for one, as `readers_at_work` and `reads_waiting`."""
        return {"readers_at_work": self._read_pool.at_work, "reads_waiting": self._read_pool.waiting}

    async def _read(self, query: Callable[..., T], *args: object) -> T:
        return await self._read_pool.read(query, *args)


def _page(limit: int) -> int:
    return max(1, min(limit, LARGEST_PAGE))
