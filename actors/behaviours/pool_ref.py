"""The callers' side of a pool: each message goes to a worker directly, and not through the pool's actor.

The rules are those of `pool`.
"""

from __future__ import annotations

from typing import TypeVar

import trio
from attrs import define, frozen

from actors.actor import Context
from actors.ask import Ask
from actors.errors import ActorDied, ActorError, InvalidSpec, MailboxFull
from actors.events import ActorRestarting, ActorStarted, ActorStopped, DeadLetter, Event
from actors.handle import Handle
from actors.lanes import Lane
from actors.ref import ASK_TIMEOUT_S, ActorRef

from .routing import Broadcast, RoundRobin, Routing

T = TypeVar("T")


@define
class NoWorkers(ActorError, trio.BusyResourceError):
    """The pool at `path` has no worker: all ended for good, or the pool itself is not running.

    The request was not delivered. A pool that was never started has an empty path.
    """

    path: str

    def __str__(self) -> str:
        return f"{self.path or 'a pool that was not started'} has no workers"


@frozen
class Resize(Ask[int]):
    """Ask a pool to change to `size` workers, above zero. The answer is the new number. See `PoolRef.resize`."""

    size: int


@frozen
class WorkerStatistics:
    """One worker: `depth` messages wait in its mailbox, `unanswered` asks are with it, `routed` messages went to it."""

    path: str
    running: bool
    depth: int
    unanswered: int
    routed: int


@frozen
class PoolStatistics:
    """The live workers in start order, and the number of told messages that found none since the `PoolRef` was made."""

    workers: tuple[WorkerStatistics, ...]
    undelivered: int

    @property
    def running(self) -> int:
        """Number of running workers."""
        return sum(1 for worker in self.workers if worker.running)


@define(eq=False)
class Worker:
    """A worker as callers see it: a `Routee`."""

    id: str
    ref: ActorRef
    running: bool = True
    unanswered: int = 0
    routed: int = 0

    @property
    def load(self) -> tuple[int, int]:
        """Messages in its mailbox, and asks it has not answered."""
        return sum(lane.depth for lane in self.ref.statistics().values()), self.unanswered

    def has_room(self, lane: Lane) -> bool:
        """Whether one more message fits into this lane."""
        used = self.ref.statistics().get(lane)
        return used is None or used.depth < used.capacity

    def statistics(self) -> WorkerStatistics:
        """Return the statistics of the worker."""
        depth, unanswered = self.load
        return WorkerStatistics(self.ref.path, self.running, depth, unanswered, self.routed)


class PoolRef(Handle):
    """The callers' side of a pool. Make it first, give it to the pool's factory, and share it with the callers.

        renderers = PoolRef(LeastLoaded())
        spec = ChildSpec("renderers", lambda: Pool(renderers, ChildSpec("renderer", Renderer), size=4))
        page = await renderers.ask(Render(text))

    It stays valid through restarts of the workers and of the pool. The pool's capacity is that of its workers'
    mailboxes: a full worker is skipped while another one that the strategy allows has room.
    """

    def __init__(self, routing: Routing | None = None) -> None:
        self._routing: Routing = RoundRobin() if routing is None else routing
        self._context: Context | None = None
        self._workers: dict[str, Worker] = {}
        self._ready: tuple[Worker, ...] = ()
        self._undelivered = 0

    @property
    def ref(self) -> ActorRef | None:
        """The pool's own actor, to watch or stop it; None before its first start."""
        return None if self._context is None else self._context.ref

    @property
    def workers(self) -> tuple[ActorRef, ...]:
        """The live workers in start order, including those that back off."""
        return tuple(worker.ref for worker in self._workers.values())

    def statistics(self) -> PoolStatistics:
        """Return the statistics of the pool."""
        return PoolStatistics(tuple(worker.statistics() for worker in self._workers.values()), self._undelivered)

    def tell(self, message: object, *, lane: Lane = Lane.NORMAL) -> None:
        """Put a message into the mailbox of one worker, or of each if it is a `Broadcast`; never blocks.

        Without workers it becomes a dead letter with `why="no workers"`. Raises `MailboxFull` if all workers that the
        strategy allows are full and their policy says so, `NoWorkers` before the pool's first start, and the errors of
        the strategy. A broadcast that finds a worker full becomes a dead letter for that one.
        """
        if isinstance(message, Broadcast):
            self._tell_all(message.message, lane)
            return
        worker = self._choose(message, lane)
        if worker is None:
            self._lose(message, lane)
        else:
            worker.ref.tell(message, lane=lane)

    async def send(self, message: object, *, lane: Lane = Lane.NORMAL, timeout_s: float = 5.0) -> None:
        """Like `tell`, to one worker; if all are full, wait for room at the preferred one, as `ActorRef.send` does."""
        worker = self._choose(message, lane)
        if worker is None:
            self._lose(message, lane)
            await trio.lowlevel.checkpoint()
        else:
            await worker.ref.send(message, lane=lane, timeout_s=timeout_s)

    async def ask(
        self,
        request: Ask[T],
        *,
        timeout_s: float = ASK_TIMEOUT_S,
        lane: Lane = Lane.NORMAL,
        fail_fast: bool = False,
    ) -> T:
        """Ask one worker. Return the answer; raise the errors of `ActorRef.ask`.

        `ActorDied` comes as soon as the worker ends while handling the request, which may have had its effect: whether
        to make a new request is the caller's choice. Raises `NoWorkers` at once if there is no worker, and `ActorDied`
        if the pool is dead.
        """
        worker = self._choose(request, lane)
        if worker is None:
            raise self._absence()
        worker.unanswered += 1
        try:
            asking = worker.ref.ask(request, timeout_s=timeout_s, lane=lane, fail_fast=fail_fast)
            del request  # as in `ActorRef.ask`
            return await asking
        finally:
            worker.unanswered -= 1

    async def resize(self, size: int, *, timeout_s: float = 30.0) -> int:
        """Change the number of workers to `size`. Return the new number.

        Waits for the start of new workers. If there are too many, those started last get no more messages and stop
        once they have drained, within their grace. Resizing to the present size replaces workers that ended for good.
        A restarted pool has its first size again. Raises `InvalidSpec` for less than one, `NoWorkers` before the pool's
        first start, and the errors of `Context.spawn` and `ActorRef.ask`.
        """
        if self._context is None:
            raise self._absence()
        return await self._context.ref.ask(Resize(size), timeout_s=timeout_s)

    def _choose(self, message: object, lane: Lane) -> Worker | None:
        """Return the first worker with room in the strategy's order; if none has, the first, whose policy decides."""
        if not self._workers:
            return None
        preferred: Worker | None = None
        for worker in self._routing.rank(self._ready, message):
            if worker.has_room(lane):
                preferred = worker
                break
            preferred = preferred or worker
        if preferred is not None:
            preferred.routed += 1
        return preferred

    def _tell_all(self, message: object, lane: Lane) -> None:
        if not self._workers:
            self._lose(message, lane)
        for worker in tuple(self._workers.values()):
            try:
                worker.ref.tell(message, lane=lane)
                worker.routed += 1
            except MailboxFull as full:
                self._bury(full.path, message, lane, "overflow")

    def _lose(self, message: object, lane: Lane) -> None:
        """Make a message without a worker a dead letter; the runtime does so if the pool is dead."""
        if self._context is None:
            raise self._absence()
        self._undelivered += 1
        if self._context.ref.alive:
            self._bury(self._context.path, message, lane, "no workers")
        else:
            self._context.ref.tell(message, lane=lane)

    def _bury(self, path: str, message: object, lane: Lane, why: str) -> None:
        if self._context is not None:
            self._context.system.dead_letter(DeadLetter(path, lane.name.lower(), message, why))

    def _absence(self) -> ActorError:
        if self._context is None:
            return NoWorkers("")
        return NoWorkers(self._context.path) if self._context.ref.alive else ActorDied(self._context.path)

    # For the pool

    def open(self, context: Context) -> None:
        """Attach the starting pool. Raises `InvalidSpec` if another live pool has this `PoolRef`."""
        if self._context is not None and self._context.ref.alive and self._context.ref != context.ref:
            raise InvalidSpec("pool", f"its PoolRef belongs to {self._context.path}")
        self._context = context

    def hear(self, event: Event) -> None:
        """Update the workers by an event of the system."""
        if not isinstance(event, ActorStarted | ActorRestarting | ActorStopped) or self._context is None:
            return
        parent, _, id = event.path.rpartition("/")  # noqa: A001 - the spec's word
        if parent != self._context.path:
            return
        known = self._workers.get(id)
        if isinstance(event, ActorStopped):
            self._workers.pop(id, None)
        elif known is not None:
            known.running = isinstance(event, ActorStarted)
        elif isinstance(event, ActorStarted) and (ref := self._context.child(id)) is not None:
            self._workers[id] = Worker(id, ref)
        self._sort_out()

    def release(self, size: int) -> list[ActorRef]:
        """Remove and return the workers beyond `size`, the last started first."""
        released = [self._workers.popitem()[1].ref for _ in range(len(self._workers) - size)]
        self._sort_out()
        return released

    def _sort_out(self) -> None:
        workers = tuple(self._workers.values())
        self._ready = tuple(worker for worker in workers if worker.running) or workers
