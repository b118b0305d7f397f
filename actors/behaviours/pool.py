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

from attrs import define, evolve

from actors.actor import Actor, Context
from actors.ask import Ask
from actors.backoff import Backoff
from actors.errors import ActorError, InvalidSpec, MailboxFull
from actors.events import DeadLetter
from actors.exit_reasons import Exit
from actors.lifecycle import StopMode
from actors.spec import ChildSpec, Supervision

from .pool_ref import NoWorkers as NoWorkers
from .pool_ref import PoolRef as PoolRef
from .pool_ref import PoolStatistics as PoolStatistics
from .pool_ref import Resize as Resize
from .pool_ref import WorkerStatistics as WorkerStatistics

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
        return f"{self.path} passes on what it is told; ask {self.message_type} through its PoolRef"


class Pool(Actor):
    """Supervises `size` workers made from one spec, each under an id of its own, and keeps `pool` up to date.

    `worker` is the spec of all; their ids are its id and a number. They restart one by one with the spec's backoff or
    `WORKER_BACKOFF`; a worker that ended for good is not replaced, and the others go on. The pool goes on even without
    workers: see `PoolRef` for the messages then. Messages told to the pool's own actor are forwarded, so that a pool
    may subscribe to a topic; a request asked of it fails with `AskedPool`. Raises `InvalidSpec` for a size below one.
    """

    def __init__(
        self, pool: PoolRef, worker: ChildSpec, size: int, *, intensity: int = INTENSITY, period_s: float = PERIOD_S
    ) -> None:
        _check_size(size)
        self.supervision: Supervision | None = Supervision(intensity=intensity, period_s=period_s, stop_together=True)
        self._pool = pool
        self._worker = worker
        self._size = size
        self._deafen: Callable[[], None] | None = None

    def static_children(self) -> Iterable[ChildSpec]:
        """Return the specs of the first `size` workers."""
        return [self._numbered(number + 1) for number in range(self._size)]

    async def on_start(self, context: Context) -> None:
        """Subscribe to the events of the workers, which start next."""
        self._pool.open(context)
        self._deafen = context.system.listen(self._pool.hear)

    async def receive(self, message: object, context: Context) -> None:
        """Resize the pool, or forward a told message."""
        match message:
            case Resize() as request:
                await self._resize(request, context)
            case Ask() as request if request.waiting:
                request.fail(AskedPool(context.path, type(request).__name__))
            case _:
                self._pass_on(message, context)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Unsubscribe from the events."""
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
        """Route a told message. No error of the message may crash the pool, which would take the workers with it."""
        try:
            self._pool.tell(message)
        except MailboxFull as full:
            context.system.dead_letter(DeadLetter(full.path, full.lane, message, "overflow"))
        except Exception:  # the strategy cannot place it, say for want of a key
            context.unhandled(message)

    def _free_number(self, context: Context) -> int:
        """Return the lowest number without a live worker, draining ones included: keys stay with numbers."""
        return next(number for number in count(1) if context.child(f"{self._worker.id}-{number}") is None)

    def _numbered(self, number: int) -> ChildSpec:
        spec = self._worker
        return evolve(spec, id=f"{spec.id}-{number}", backoff=spec.backoff or WORKER_BACKOFF)


def _check_size(size: int) -> None:
    if type(size) is not int or size < 1:
        raise InvalidSpec("size", "must be a whole number above zero")
