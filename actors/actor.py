"""What an actor is, and what it may do.

All hooks run in the actor's own task, one at a time: an actor needs no locks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from . import termination
from . import watch as watching
from .ask import Ask
from .context_propagation import Values
from .errors import ActorDied, InvalidActor, NotSupervising, UnhandledMessage
from .exit_reasons import NORMAL, Exit
from .hooks import check_async, check_hooks
from .lifecycle import StopMode
from .mailbox import MailboxSpec
from .ref import ActorRef
from .spec import ChildSpec, Supervision
from .tasks import OwnedTasks
from .timers import Timer

if TYPE_CHECKING:
    from .cell import Cell
    from .children import Children
    from .system import ActorSystem


class Actor:
    """Behaviour with state of its own. Subclass it, keep state in plain attributes, override the hooks you need.

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
        """What each incarnation lives in: entered before `on_start`, left after `on_stop`, in the same task.

        For what has to be left where it was entered, such as a nursery, a cancel scope or a connection:

            @asynccontextmanager
            async def lifespan(self, context):
                async with trio.open_nursery() as self.nursery:
                    yield
                    self.nursery.cancel_scope.cancel()

        Entering is part of the start, with `on_start` in one `start_timeout_s`; leaving is part of the end, within its
        grace. What the actor raises is raised at the `yield`, and crashes it in any case. A task of such a nursery that
        raises crashes the actor too.
        """
        return nullcontext()

    async def on_start(self, context: Context) -> None:
        """Runs before the first message of each incarnation; whoever starts the actor waits for it.

        Raise `Ignore` to decline. Any other exception is a failed start, as is taking longer than `start_timeout_s`.
        """

    async def receive(self, message: object, context: Context) -> None:
        """Runs for each message. An exception crashes the actor; its parent decides what becomes of it."""
        context.unhandled(message)

    async def on_idle(self, context: Context) -> None:
        """Runs after each batch of messages, before the actor waits for the next one."""

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Runs once at the end of each incarnation, also of one whose start failed. Shielded within the grace."""

    def report_state(self) -> object:
        """What a crash report says about the state, as text. It may raise: the report says so then.

        Unless overridden, it names the attributes and their types, and no value: state may hold what users wrote.
        """
        return {name: type(value).__name__ for name, value in getattr(self, "__dict__", {}).items()}

    def static_children(self) -> Iterable[ChildSpec]:
        """The children to start, in this order, after `on_start`. Only a `Supervisor` has some."""
        return ()


_set_taken = vars(Actor)["_taken"].__set__  # the slot itself: an actor may be a frozen class


def claim(actor: Actor, path: str) -> None:
    """Note that an actor is one incarnation's own. Raises `InvalidActor` if it was another one's before."""
    if getattr(actor, "_taken", False):
        again = "as in `ChildSpec(id, lambda: Kind(...))`"
        problem = f"the factory of {path} returned an actor that was used before; make a new one each time, {again}"
        raise InvalidActor(type(actor).__name__, problem)
    _set_taken(actor, True)


class ActorTimer:
    """A timer of an actor: replaced under its key, received at most once."""

    __slots__ = ("entry", "key", "message", "values")

    entry: Timer

    def __init__(self, key: Hashable, message: object, values: Values) -> None:
        self.key: Hashable = key
        self.message: object = message
        self.values: Values = values
        """What the context variables that travel with messages were when the timer was set."""

    def cancel(self) -> None:
        """Let it not fire."""
        self.entry.cancel()


class Context:
    """What the runtime gives to one incarnation of an actor. Not to be used after its end, nor by other actors."""

    __slots__ = ("_cell", "incarnation")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.incarnation: int = cell.incarnations
        """1 for the first, one more after each restart."""

    @property
    def ref(self) -> ActorRef:
        """The actor's own reference, to hand to others."""
        return self._cell.ref

    @property
    def path(self) -> str:
        """The names from the root to here, as in `/system/chat/outbox`."""
        return self._cell.path

    @property
    def system(self) -> ActorSystem:
        """The system the actor lives in."""
        return self._cell.system

    @property
    def parent(self) -> ActorRef | None:
        """The supervising actor; None for the root."""
        owner = self._cell.host.owner
        return None if owner is None else owner.ref

    @property
    def stopping(self) -> StopMode | None:
        """How the actor was told to end; None as long as it was not."""
        return self._cell.incarnation.stop_mode

    async def spawn(self, spec: ChildSpec) -> ActorRef:
        """Start a child and wait until it runs.

        Raises `StartFailed` (with the cause), `StartDeclined`, `AlreadyStarted` when the id is taken,
        `TooManyChildren`, or `NotSupervising`. When the wait is cancelled, the child is stopped again.
        """
        return await self._children().spawn(spec)

    def children(self) -> list[ActorRef]:
        """The live children in start order, those that back off included."""
        family = self._cell.children
        return [] if family is None else [cell.ref for cell in family.living()]

    def child(self, id: str) -> ActorRef | None:  # noqa: A002 - the spec's word
        """The live child with this id."""
        cell = self._cell.children.by_id.get(id) if self._cell.children is not None else None
        return None if cell is None or cell.buried else cell.ref

    def watch(self, ref: ActorRef, *, vital: bool = False, restarts: bool = False, urgent: bool = False) -> None:
        """Receive one `Terminated(ref, reason)` when the actor ends for good; soon, if it is dead already.

        It is received after everything that waits in this actor's mailbox at that moment, and so after all that the
        other had sent; with `urgent`, before what waits in the lanes. `vital`: this actor fails with `DeathPact` then,
        unless it calls `outlive` while it receives the notice, or before. `restarts`: receive a
        `Restarted(ref, incarnation, reason)` too, in the same order, whenever the actor runs again.
        Watching an actor again adds wishes and takes none back; `unwatch` takes all back, `outlive` the vital one.
        """
        self._check_life()
        watching.watch(self._cell, ref._cell, vital=vital, restarts=restarts, urgent=urgent)

    def outlive(self, ref: ActorRef) -> None:
        """Say that this actor can live without one that it watched as vital."""
        watching.outlive(self._cell.incarnation, ref._cell)

    def unwatch(self, ref: ActorRef) -> None:
        """Receive no `Terminated` of this actor; also not one that waits already."""
        watching.unwatch(self._cell, ref._cell)

    def start_soon(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: str | None = None) -> None:
        """Start a task that belongs to this incarnation: cancelled at its end; if it raises, the actor crashes.

        Raises `ActorDied` when the incarnation is over, and `TypeError` for a coroutine, such as `work()`.
        """
        check_async("start_soon", async_fn)
        cell = self._cell
        self._check_life()
        life = cell.incarnation
        if life.stopping:
            raise ActorDied(cell.path, cell.exit)
        if life.tasks is None:
            life.tasks = OwnedTasks(cell)
        life.tasks.start_soon(async_fn, *args, name=name)

    def set_timer(self, key: Hashable, delay_s: float, message: object) -> None:
        """Receive `message` once, after `delay_s` seconds, before what waits in the lanes.

        A timer set again under its key replaces the old one, even if that has fired and was not received yet.
        """
        cell = self._cell
        self._check_life()
        hash(key)
        self.cancel_timer(key)
        carrier = cell.mailbox.propagator
        timer = ActorTimer(key, message, () if carrier is None else carrier.current_values(stamped=False))
        timer.entry = cell.system.timers.after(delay_s, partial(cell.put_control, timer))
        life = cell.incarnation
        if life.timers is None:
            life.timers = {}
        life.timers[key] = timer

    def cancel_timer(self, key: Hashable) -> None:
        """Take a timer back; harmless when there is none."""
        timers = self._cell.incarnation.timers
        timer = timers.pop(key, None) if timers else None
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """End after the current message, with reason `Normal`. A permanent child is restarted even so."""
        self._check_life()
        termination.order_stop(self._cell, StopMode.AFTER_MESSAGE, final=False, reason=NORMAL)

    def healthy(self) -> None:
        """Say that all is well: the next backoff starts from its minimum."""
        self._cell.failures_in_row = 0

    def unhandled(self, message: object) -> None:
        """Report a message this actor does not know; a request among them fails with `UnhandledMessage`."""
        name = type(message).__name__
        self.system.note_unhandled(self.path, name)
        if isinstance(message, Ask):
            message.fail(UnhandledMessage(self.path, name))

    def _check_life(self) -> None:
        self._cell.mailbox.check_loop()
        if self._cell.incarnation.context is not self:
            raise ActorDied(self._cell.path, self._cell.exit)

    def _children(self) -> Children:
        self._check_life()
        if self._cell.children is None:
            raise NotSupervising(self._cell.path)
        return self._cell.children
