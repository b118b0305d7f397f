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
    """The pool at `path` has no worker to give a request to: all ended for good, or the pool itself is not running.

    The request was given to nobody. A pool that was never started has an empty path.
    """

    path: str

    def __str__(self) -> str:
        return f"{self.path or 'a pool that was not started'} has no workers"


@frozen
class Resize(Ask[int]):
    """Let the pool have `size` workers, above zero; answers with how many it has. See `PoolRef.resize`."""

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
    """The workers that live, in start order, and how many told messages found none since the `PoolRef` was made."""

    workers: tuple[WorkerStatistics, ...]
    undelivered: int

    @property
    def running(self) -> int:
        """How many workers run just now."""
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
        """The worker in numbers."""
        depth, unanswered = self.load
        return WorkerStatistics(self.ref.path, self.running, depth, unanswered, self.routed)


class PoolRef(Handle):
    """The callers' side of a pool. Make it first, give it to the pool's factory, and share it with who has work.

        renderers = PoolRef(LeastLoaded())
        spec = ChildSpec("renderers", lambda: Pool(renderers, ChildSpec("renderer", Renderer), size=4))
        page = await renderers.ask(Render(text))

    It stays good through restarts of the workers and of the pool. What the pool can hold is what its workers'
    mailboxes hold: a full worker is passed over as long as another one has room and the strategy allows that other.
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
        """The workers that live, in start order, those that back off included."""
        return tuple(worker.ref for worker in self._workers.values())

    def statistics(self) -> PoolStatistics:
        """The pool in numbers."""
        return PoolStatistics(tuple(worker.statistics() for worker in self._workers.values()), self._undelivered)

    def tell(self, message: object, *, lane: Lane = Lane.NORMAL) -> None:
        """Put a message into the mailbox of one worker, or of each if it is a `Broadcast`; never blocks.

        When there is no worker it becomes a dead letter with `why="no workers"`. Raises `MailboxFull` when all
        workers it may go to are full and their policy says so, `NoWorkers` before the pool's first start, and what
        the strategy raises. A broadcast that finds a worker full becomes a dead letter for that one.
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
        """Ask one worker; returns and raises what `ActorRef.ask` of that worker does.

        `ActorDied` comes as soon as the worker ends with the request in work, which may have had its effect: whether
        to make a new request is the caller's choice. Raises `NoWorkers` at once when there is no worker, and
        `ActorDied` when the pool is dead.
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
        """Let the pool have `size` workers; return how many it has then.

        New ones are waited for. When there are too many, those started last get nothing more and end when they have
        worked off what they hold, within their grace. With the size it has, a pool replaces those that ended for
        good. A restarted pool has its first size again. Raises `InvalidSpec` for less than one, `NoWorkers` before
        the pool's first start, what `Context.spawn` raises when a worker does not start, and what `ActorRef.ask` does.
        """
        if self._context is None:
            raise self._absence()
        return await self._context.ref.ask(Resize(size), timeout_s=timeout_s)

    def _choose(self, message: object, lane: Lane) -> Worker | None:
        """The first with room in the strategy's order; the first of all when none has, so that its policy decides."""
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
        """Nobody takes this: a dead letter, written by the runtime if the pool is dead."""
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
        """A pool starts. Raises `InvalidSpec` when another one that lives has this `PoolRef`."""
        if self._context is not None and self._context.ref.alive and self._context.ref != context.ref:
            raise InvalidSpec("pool", f"its PoolRef belongs to {self._context.path}")
        self._context = context

    def hear(self, event: Event) -> None:
        """Keep up with what becomes of the workers."""
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
        """Give nothing more to the workers beyond `size`, and return them, the last started first."""
        released = [self._workers.popitem()[1].ref for _ in range(len(self._workers) - size)]
        self._sort_out()
        return released

    def _sort_out(self) -> None:
        workers = tuple(self._workers.values())
        self._ready = tuple(worker for worker in workers if worker.running) or workers
