"""A pool: equal workers under one supervisor, which callers reach directly.

1. The pool's actor starts workers and keeps them alive; messages do not pass through it. A `PoolRef` puts each into a
   worker's mailbox. So an ask is an ask of the worker: it fails at once if the worker dies while handling it, is taken
   back if its caller leaves, and waits for its worker only.
2. A worker that is not running gets no message while another one runs. If none runs but some will restart, messages
   wait in the mailboxes of those.
3. The mailbox of a worker that failed is kept for its next incarnation, as for any actor.
4. A `PoolRef` has the workers of the pool's running incarnation; none if no incarnation runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import TypeVar

import trio
from attrs import define, evolve, frozen

from actors.actor import Actor, Context
from actors.ask import ActorDied, Ask, Handle
from actors.backoff import Backoff
from actors.checks import check_count
from actors.errors import ActorError, InvalidSpec, MailboxFull
from actors.events import ActorRestarting, ActorStarted, ActorStopped, DeadLetter, Event
from actors.exit_reasons import Exit
from actors.lanes import Lane
from actors.lifecycle import StopMode
from actors.ref import ASK_TIMEOUT_S, ActorRef
from actors.spec import ChildSpec, Supervision

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
    """The live workers in start order, and the number of messages that found none since the `PoolRef` was made."""

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
            self._context.system.undelivered(DeadLetter(path, lane.name.lower(), message, why))

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
        worker = self._workers.get(id)
        if isinstance(event, ActorStopped):
            self._workers.pop(id, None)
        elif worker is not None:
            worker.running = isinstance(event, ActorStarted)
        elif isinstance(event, ActorStarted) and (ref := self._context.child(id)) is not None:
            self._workers[id] = Worker(id, ref)
        self._update_ready()

    def release(self, size: int) -> list[ActorRef]:
        """Remove and return the workers beyond `size`, the last started first."""
        released = [self._workers.popitem()[1].ref for _ in range(len(self._workers) - size)]
        self._update_ready()
        return released

    def _update_ready(self) -> None:
        workers = tuple(self._workers.values())
        self._ready = tuple(worker for worker in workers if worker.running) or workers


WORKER_BACKOFF: Backoff = Backoff(min_s=0.1, max_s=30.0)
"""Default backoff of a worker whose spec has none: one that always fails starts about 7 times in 10 s."""
INTENSITY = 100
"""Restarts of all workers within `PERIOD_S` seconds before the pool itself fails. Backoff slows a failing worker; this
bounds one whose spec has a very short backoff."""
PERIOD_S = 5.0


@define
class AskedPool(ActorError, TypeError):
    """A request was asked of the pool's own actor, whose life is independent of the worker's: ask `PoolRef`."""

    path: str
    message_type: str

    def __str__(self) -> str:
        return f"{self.path} forwards messages only; ask {self.message_type} through its PoolRef"


class Pool(Actor):
    """Supervises `size` workers made from one spec, each under an id of its own, and keeps `pool` up to date.

    `worker` is the spec of all; their ids are its id and a number. They restart one by one with the spec's backoff or
    `WORKER_BACKOFF`; a worker that ended for good is not replaced, and the others go on. The pool goes on even without
    workers: see `PoolRef` for the messages then. Messages sent to the pool's own actor are forwarded, so that a pool
    may subscribe to a topic; a request asked of it fails with `AskedPool`. Raises `InvalidSpec` for a size below one.
    """

    def __init__(
        self, pool: PoolRef, worker: ChildSpec, size: int, *, intensity: int = INTENSITY, period_s: float = PERIOD_S
    ) -> None:
        check_count("size", size)
        self.supervision: Supervision | None = Supervision(intensity=intensity, period_s=period_s, stop_together=True)
        self._pool = pool
        self._worker = worker
        self._size = size
        self._unsubscribe: Callable[[], None] | None = None

    def static_children(self) -> Iterable[ChildSpec]:
        """Return the specs of the first `size` workers."""
        return [self._numbered(number + 1) for number in range(self._size)]

    async def on_start(self, context: Context) -> None:
        """Subscribe to the events of the workers, which start next."""
        self._pool.open(context)
        self._unsubscribe = context.system.listen(self._pool.hear)

    async def receive(self, message: object, context: Context) -> None:
        """Resize the pool, or forward a message."""
        match message:
            case Resize() as request:
                await self._resize(request, context)
            case Ask() as request if request.waiting:
                request.fail(AskedPool(context.path, type(request).__name__))
            case _:
                self._pass_on(message, context)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Unsubscribe from the events."""
        if self._unsubscribe is not None:
            self._unsubscribe()

    async def _resize(self, request: Resize, context: Context) -> None:
        try:
            check_count("size", request.size)
            for ref in self._pool.release(request.size):
                context.start_soon(ref.stop, StopMode.AFTER_DRAIN)
            for _ in range(request.size - len(self._pool.workers)):
                await context.spawn(self._numbered(self._free_number(context)))
        except ActorError as error:
            request.fail(error)
        else:
            request.reply(len(self._pool.workers))

    def _pass_on(self, message: object, context: Context) -> None:
        """Route a message. No error of it may crash the pool, which would take the workers with it."""
        try:
            self._pool.tell(message)
        except MailboxFull as full:
            context.system.undelivered(DeadLetter(full.path, full.lane, message, "overflow"))
        except Exception:  # the strategy cannot place it, say for want of a key
            context.unhandled(message)

    def _free_number(self, context: Context) -> int:
        """Return the lowest number without a live worker, draining ones included: keys stay with numbers."""
        return next(number for number in count(1) if context.child(f"{self._worker.id}-{number}") is None)

    def _numbered(self, number: int) -> ChildSpec:
        spec = self._worker
        return evolve(spec, id=f"{spec.id}-{number}", backoff=spec.backoff or WORKER_BACKOFF)
