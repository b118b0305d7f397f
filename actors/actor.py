"""The base class of actors, the plain supervisor, and the context handed to their hooks.

All hooks but `on_undelivered` run in the actor's own task, one at a time: an actor needs no locks.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from threading import get_ident
from typing import Any

from .ask import ActorDied, Ask
from .cell import Cell, Directory, Watch
from .checks import check_hooks
from .context_propagation import Values
from .errors import NotSupervising, UnhandledMessage, WrongLoop
from .events import DeadLetter
from .exit_reasons import NORMAL, Exit
from .lifecycle import StopMode
from .mailbox import MailboxSpec
from .ref import ActorRef
from .spec import AutoShutdown, ChildSpec, Strategy, Supervision, check_children
from .timers import Timer

Receive = Callable[[object, "Context"], Awaitable[None]]
"""An actor's `receive`, or a function in its place."""


class Actor:
    """Behaviour and private state. Subclass it, keep state in plain attributes, override the hooks you need.

    `supervision` and `mailbox` may be set on the class or on the instance, before it starts. An actor that spawns
    children must set `supervision`; without it, an actor is one task and nothing more.
    """

    __slots__ = ("_taken",)  # a subclass that has many instances may name its attributes

    supervision: Supervision | None = None
    mailbox: MailboxSpec = MailboxSpec()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_hooks(cls)

    def lifespan(self, context: Context) -> AbstractAsyncContextManager[object]:
        """Return a context manager around each incarnation: entered before `on_start`, left after `on_stop`.

        Both happen in the actor's task, as a nursery, a cancel scope or a connection requires:

            @asynccontextmanager
            async def lifespan(self, context):
                async with trio.open_nursery() as self.nursery:
                    yield
                    self.nursery.cancel_scope.cancel()

        Entering is part of the start: it shares one `start_timeout_s` with `on_start`. Leaving is part of the end,
        within its grace. An error of the actor is raised at the `yield`, and crashes the actor in any case, as does an
        error in a task of such a nursery.
        """
        return nullcontext()

    async def on_start(self, context: Context) -> None:
        """Runs before the first message of each incarnation; `spawn` waits for it.

        Raise `Ignore` to decline. Any other exception fails the start, as does taking longer than `start_timeout_s`.
        """

    async def receive(self, message: object, context: Context) -> None:
        """Runs for each message. An exception crashes the actor; its supervisor decides what follows."""
        context.unhandled(message)

    async def on_idle(self, context: Context) -> None:
        """Runs after each batch of messages, before the actor waits for the next one."""

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Runs once at the end of each incarnation, even if its start failed. Shielded within the grace."""

    @classmethod
    def on_undelivered(cls, letter: DeadLetter) -> None:
        """Runs for each dead letter of an actor of this class: release what its message owns, as a permit or a stream.

        A plain class method, since there may be no instance: a message is lost between two incarnations and after the
        end, too. It runs wherever the message is lost, in a sender's task for instance, so it must be quick. Its errors
        are logged and counted in `ActorSystem.event_errors`. It may `tell` the message to another actor; dead letters
        that it causes itself are counted only. A request that was asked is no dead letter: its caller gets an error.
        """

    def report_state(self) -> object:
        """Return the state to show in a crash report. If it raises, the report says so.

        By default it names the attributes and their types but no values, since those may hold users' texts.
        """
        return {name: type(value).__name__ for name, value in getattr(self, "__dict__", {}).items()}

    def static_children(self) -> Iterable[ChildSpec]:
        """Return the children to start, in this order, after `on_start`. None, except for a `Supervisor`."""
        return ()


class Supervisor(Actor):
    """Starts `children` in order, keeps them alive, and stops them in reverse. More can be added: `StartChild`.

    The other arguments are those of `Supervision`. Raises `InvalidSpec` for two children with one id.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec] = (),
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: int = 1,
        period_s: float = 5.0,
        max_children: int | None = None,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
        stop_together: bool | int = False,
        per_child: bool = False,
    ) -> None:
        self.children: tuple[ChildSpec, ...] = check_children(children)
        self.supervision: Supervision | None = Supervision(
            strategy, intensity, period_s, max_children, auto_shutdown, stop_together, per_child
        )

    def static_children(self) -> Iterable[ChildSpec]:
        """Return the `children` given to the constructor."""
        return self.children


class ActorTimer:
    """A timer of an actor. A new one under its key replaces it. It fires once, or with `every_s` repeatedly."""

    __slots__ = ("cell", "due", "entry", "every_s", "key", "message", "values")

    entry: Timer

    def __init__(
        self, cell: Cell, key: Hashable, delay_s: float, message: object, values: Values, every_s: float | None
    ) -> None:
        self.cell: Cell = cell
        self.every_s: float | None = every_s
        self.key: Hashable = key
        self.message: object = message
        self.values: Values = values
        """The values of the propagated context variables when the timer was set."""
        self.entry = cell.system.timers.after(delay_s, self.fire)
        self.due: float = self.entry.at
        """When it fires next, in seconds on trio's clock."""

    def fire(self) -> None:
        """Hand the timer to its actor."""
        self.cell.put_control(self)

    def set_again(self, every_s: float) -> None:
        """Schedule the next firing: a whole number of periods after the last one, the first such time still to come."""
        timers = self.cell.system.timers
        now = timers.now()
        self.due += every_s * max(1, math.floor((now - self.due) / every_s) + 1)
        self.entry = timers.after(self.due - now, self.fire)


class Context:
    """The runtime's interface for one incarnation of an actor. Do not use it after its end, nor from other actors."""

    __slots__ = ("_cell", "incarnation", "path", "ref")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.ref: ActorRef = cell.ref
        """The actor's own reference, to hand to others."""
        self.path: str = cell.path
        """The names from the root to here, as in `/system/chat/outbox`."""
        self.incarnation: int = cell.history.incarnations
        """1 for the first, one more after each restart."""

    @property
    def system(self) -> Directory:
        """The actor's `ActorSystem`."""
        return self._cell.system

    @property
    def parent(self) -> ActorRef | None:
        """The supervising actor; None for the root."""
        owner = self._cell.host.owner
        return None if owner is None else owner.ref

    @property
    def stopping(self) -> StopMode | None:
        """The mode of the order to stop; None without such an order."""
        return self._cell.incarnation.ending.stop_mode

    async def spawn(self, spec: ChildSpec) -> ActorRef:
        """Start a child and wait until it runs.

        Raises `StartFailed` (with the cause), `StartDeclined`, `AlreadyStarted` if the id is taken, `TooManyChildren`,
        or `NotSupervising`. If the wait is cancelled, the child is stopped again.
        """
        self._check_life()
        if self._cell.children is None:
            raise NotSupervising(self._cell.path)
        return await self._cell.children.spawn(spec)

    def children(self) -> list[ActorRef]:
        """Return the live children in start order, including those that back off."""
        family = self._cell.children
        return [] if family is None else [cell.ref for cell in family.living()]

    def child(self, id: str) -> ActorRef | None:  # noqa: A002 - the spec's word
        """Return the live child with this id, or None."""
        cell = self._cell.children.by_id.get(id) if self._cell.children is not None else None
        return None if cell is None or cell.buried else cell.ref

    def watch(self, ref: ActorRef, *, vital: bool = False, restarts: bool = False, urgent: bool = False) -> None:
        """Receive one `Terminated(ref, reason)` when the actor ends for good; at once if it is dead already.

        It is received after all messages that wait in this actor's mailbox at that moment, and so after all that the
        other one had sent; with `urgent`, before the lanes. `vital`: this actor then fails with `DeathPact`, unless it
        calls `outlive` before or while it receives the notice. `restarts`: also receive a
        `Restarted(ref, incarnation, reason)`, in the same order, whenever the actor runs again. Watching an actor again
        adds options and removes none; `unwatch` removes the watch, `outlive` only `vital`.
        """
        self._check_life()
        self._cell.watch(ref._cell, Watch(vital=vital, restarts=restarts, urgent=urgent))

    def outlive(self, ref: ActorRef) -> None:
        """Remove `vital` from the watch of an actor: its end does not fail this one."""
        self._cell.outlive(ref._cell)

    def unwatch(self, ref: ActorRef) -> None:
        """Remove the watch. A `Terminated` that waits already is not received either."""
        self._cell.unwatch(ref._cell)

    def start_soon(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: str | None = None) -> None:
        """Start a task that belongs to this incarnation: cancelled at its end; if it raises, the actor crashes.

        Raises `ActorDied` if the incarnation is over, and `TypeError` for a coroutine, such as `work()`.
        """
        function: object = async_fn
        if inspect.iscoroutine(function):
            function.close()
            raise TypeError(
                "start_soon takes an async function and its arguments, as in start_soon(work, 5), not work(5)"
            )
        if not callable(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"start_soon takes an async function that returns, not {function!r}")
        self._check_life()
        if self._cell.incarnation.ending.stopping:
            raise ActorDied(self._cell.path, self._cell.exit)
        self._cell.start_task(name or getattr(async_fn, "__qualname__", None), async_fn, args)

    def set_timer(self, key: Hashable, delay_s: float, message: object, *, every_s: float | None = None) -> None:
        """Receive `message` after `delay_s` seconds, before the lanes: once, or from then on every `every_s` seconds.

        Setting a timer again under its key replaces the old one, even if that has fired but was not received yet. A
        repeated one keeps its schedule however long its message takes, and waits in the mailbox at most once: times
        that pass meanwhile are skipped. Raises ValueError unless `every_s` is above 0 and finite.
        """
        cell = self._cell
        self._check_life()
        hash(key)
        if every_s is not None and not 0 < every_s < math.inf:
            raise ValueError(f"every_s must be above 0 and finite, not {every_s!r}")
        carrier = cell.inbox.propagator
        values = () if carrier is None else carrier.current_values(stamped=False)
        timer = ActorTimer(cell, key, delay_s, message, values, every_s)
        life = cell.incarnation
        if life.timers is None:
            life.timers = {}
        elif (replaced := life.timers.pop(key, None)) is not None:
            replaced.entry.cancel()
        life.timers[key] = timer

    def cancel_timer(self, key: Hashable) -> None:
        """Cancel the timer under `key`; harmless if there is none."""
        timers = self._cell.incarnation.timers
        timer = timers.pop(key, None) if timers else None
        if timer is not None:
            timer.entry.cancel()

    def stop(self) -> None:
        """End after the current message, with exit `Normal`. A permanent child is restarted even so."""
        self._check_life()
        self._cell.order_stop(StopMode.AFTER_MESSAGE, final=False, reason=NORMAL)

    def healthy(self) -> None:
        """Reset the count of failures: the next backoff starts from its minimum."""
        self._cell.history.failures_in_row = 0

    def unhandled(self, message: object) -> None:
        """Report a message that this actor does not know; a request fails with `UnhandledMessage`."""
        name = type(message).__name__
        self.system.note_unhandled(self.path, name)
        if isinstance(message, Ask):
            message.fail(UnhandledMessage(self.path, name))

    def _check_life(self) -> None:
        cell = self._cell
        if cell.inbox.thread != get_ident():
            raise WrongLoop
        if cell.incarnation.context is not self:
            raise ActorDied(cell.path, cell.exit)
