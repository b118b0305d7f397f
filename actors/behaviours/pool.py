"""A pool: like workers under one supervisor, and a way for callers to go to them directly.

1. The pool's actor starts workers and keeps them alive; messages do not pass through it. A `PoolRef` puts each into a
   worker's mailbox by itself. So an ask is an ask of the worker: it ends at once when the worker dies with it, is taken
   back when its caller leaves, and never waits for anybody but its worker.
2. A worker that does not run just now gets nothing, as long as another one runs. If none runs but some will again,
   messages wait with those.
3. What a worker had in its mailbox when it failed stays there for its next incarnation, as for any actor.
4. The workers of a `PoolRef` are those of the pool's incarnation that runs: none while no incarnation does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import TypeVar

import trio
from attrs import define, evolve, frozen

from actors.actor import Actor, Context
from actors.ask import Ask
from actors.backoff import Backoff
from actors.errors import ActorDied, ActorError, InvalidSpec, MailboxFull
from actors.exits import Exit
from actors.lanes import Lane
from actors.lifecycle import StopMode
from actors.records import ActorRestarting, ActorStarted, ActorStopped, DeadLetter, Event
from actors.ref import ASK_TIMEOUT_S, ActorRef
from actors.spec import ChildSpec, Supervision

from .routing import Broadcast, RoundRobin, Routing

T = TypeVar("T")

WORKER_BACKOFF: Backoff = Backoff(min_s=0.1, max_s=30.0)
"""The delay of a worker's restarts when its spec has none: one that fails for ever starts about 7 times in 10 s."""
INTENSITY = 100
"""Restarts of all workers within `PERIOD_S` seconds that a pool bears. Backoff slows one that fails; this is for a
fault that no backoff slows, such as a worker whose spec has a very short one."""
PERIOD_S = 5.0


@define
class NoWorkers(ActorError, trio.BusyResourceError):
    """The pool at `path` has no worker to give a request to: all ended for good, or the pool itself is not running.

    The request was given to nobody. A pool that was never started has an empty path.
    """

    path: str

    def __str__(self) -> str:
        return f"{self.path or 'a pool that was not started'} has no workers"


@define
class AskedPool(ActorError, TypeError):
    """A request was asked of the pool's own actor, whose death or life says nothing about the worker: ask `PoolRef`."""

    path: str
    message_type: str

    def __str__(self) -> str:
        return f"{self.path} passes on what it is told; ask {self.message_type} through its PoolRef"


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


class PoolRef:
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
            return await worker.ref.ask(request, timeout_s=timeout_s, lane=lane, fail_fast=fail_fast)
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


class Pool(Actor):
    """Supervises `size` workers made from one spec, each under an id of its own, and keeps `pool` up to date.

    `worker` is the spec of them all; their ids are its id and a number. They restart one by one with the spec's backoff
    or `WORKER_BACKOFF`; a worker that ended for good is not replaced, and the others go on. When none is left the
    pool goes on without: see `PoolRef` for what becomes of work then. What is told to the pool's own actor is passed
    on, so that a pool may subscribe to a topic; a request asked of it fails with `AskedPool`. Raises `InvalidSpec` for
    a size below one.
    """

    def __init__(
        self, pool: PoolRef, worker: ChildSpec, size: int, *, intensity: int = INTENSITY, period_s: float = PERIOD_S
    ) -> None:
        _check_size(size)
        self.supervision: Supervision | None = Supervision(intensity=intensity, period_s=period_s)
        self._pool = pool
        self._worker = worker
        self._size = size
        self._deafen: Callable[[], None] | None = None

    def static_children(self) -> Iterable[ChildSpec]:
        """The first `size` workers."""
        return [self._numbered(number + 1) for number in range(self._size)]

    async def on_start(self, context: Context) -> None:
        """Begin to follow the workers, which start next."""
        self._pool.open(context)
        self._deafen = context.system.listen(self._pool.hear)

    async def receive(self, message: object, context: Context) -> None:
        """Resize, or pass on what is told."""
        match message:
            case Resize() as request:
                await self._resize(request, context)
            case Ask() as request if request.waiting:
                request.fail(AskedPool(context.path, type(request).__name__))
            case _:
                self._pass_on(message, context)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """The workers are gone, and taken note of."""
        if self._deafen is not None:
            self._deafen()

    async def _resize(self, request: Resize, context: Context) -> None:
        try:
            _check_size(request.size)
            for ref in self._pool.release(request.size):
                context.start_soon(ref.stop, StopMode.AFTER_DRAIN)
            for _ in range(request.size - len(self._pool.workers)):
                await context.spawn(self._numbered(self._free_number(context)))
        except ActorError as error:
            request.fail(error)
        else:
            request.reply(len(self._pool.workers))

    def _pass_on(self, message: object, context: Context) -> None:
        """Route a told message. Whatever is wrong with it, the workers are not to go down with the pool."""
        try:
            self._pool.tell(message)
        except MailboxFull as full:
            context.system.dead_letter(DeadLetter(full.path, full.lane, message, "overflow"))
        except Exception:  # the strategy cannot place it, say for want of a key
            context.unhandled(message)

    def _free_number(self, context: Context) -> int:
        """The lowest number that no live worker has, one that still drains included: keys stay with numbers."""
        return next(number for number in count(1) if context.child(f"{self._worker.id}-{number}") is None)

    def _numbered(self, number: int) -> ChildSpec:
        spec = self._worker
        return evolve(spec, id=f"{spec.id}-{number}", backoff=spec.backoff or WORKER_BACKOFF)


def _check_size(size: int) -> None:
    if type(size) is not int or size < 1:
        raise InvalidSpec("size", "must be a whole number above zero")
