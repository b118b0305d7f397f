"""The cell of an actor: the state that lasts through all its incarnations, and the present incarnation.

1. `step` is the only way the state changes.
2. A cell has exactly one incarnation at any time: the one that runs, or the unused one that will start next.
3. Everything here is synchronous but `wait_down` and `wait_dead`. `life` starts, runs and ends an incarnation.
4. No object that a buried cell refers to refers back to it, except the error of a crash. So the cell is freed with the
   last reference to the actor: a server buries a few for each message, and the garbage collector would lag.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ReferenceType

import trio

from .ask import ActorDied, Ask, death
from .context_propagation import ContextPropagator
from .ending import NOT_ENDING, IncarnationEnd
from .errors import NoSuchActor, NotEntered
from .events import DeadLetter
from .exit_reasons import NORMAL, SHUTDOWN, Exit
from .inbox import ActorInbox
from .incidents import ActorHistory, Explanation
from .lanes import LaneQueue
from .lifecycle import State, Step, StopMode, next_state
from .ref import ActorRef
from .runtime import Runtime
from .spec import ChildSpec
from .tree import TreeChange, TreeStream

if TYPE_CHECKING:
    from .actor import Actor, ActorTimer, Context
    from .children import Children

OBITUARIES = 100
"""Number of actors that ended abnormally, for good, and are kept for `ActorSystem.explain`; the oldest is dropped."""
_STOPPED, _BACKING_OFF, _GONE = State.STOPPED, State.BACKING_OFF, State.GONE


class Watch:
    """The options of a watch. `vital`: the watcher fails at the target's end, unless it calls `outlive`."""

    __slots__ = ("restarts", "urgent", "vital")

    def __init__(self, *, vital: bool, restarts: bool, urgent: bool) -> None:
        self.vital: bool = vital
        self.restarts: bool = restarts
        self.urgent: bool = urgent

    def add(self, more: Watch) -> None:
        """Add the options of `more`."""
        self.vital |= more.vital
        self.restarts |= more.restarts
        self.urgent |= more.urgent


class Incarnation:
    """One incarnation of an actor. Nothing in here outlives it: state that must is in the cell."""

    __slots__ = (
        "actor", "cancelling_current", "context", "declined", "ending", "scope", "started", "task", "task_scopes",
        "tasks_ended", "timers", "vital_watch", "watching",
    )  # fmt: skip

    scope: trio.CancelScope
    """The cancel scope of the actor's own task. Cancelling it ends the incarnation or the current message.

    Unset before the start: many incarnations are never started."""

    def __init__(self) -> None:
        self.actor: Actor | None = None
        self.context: Context | None = None
        self.task: trio.lowlevel.Task | None = None
        self.started: bool = False
        """True once the start hook has returned."""
        self.declined: bool = False
        """True if the start hook raised `Ignore`."""
        self.cancelling_current: bool = False
        """True if the scope was cancelled for the current message only, since its caller left."""
        self.vital_watch: ActorRef | None = None
        """The actor whose end is being reported, until this actor calls `outlive` for it."""
        self.watching: dict[Cell, Watch] | None = None
        self.timers: dict[Hashable, ActorTimer] | None = None
        self.task_scopes: dict[trio.CancelScope, None] | None = None
        """The scopes of the running tasks that the actor started."""
        self.tasks_ended: trio.Event | None = None
        """Set by the last of those tasks once the incarnation waits for their end."""
        self.ending: IncarnationEnd = NOT_ENDING
        """How the incarnation ends. Read it here; call `end` to write to it."""

    def end(self) -> IncarnationEnd:
        """Return the record of the incarnation's end, for writing."""
        if self.ending is NOT_ENDING:
            self.ending = IncarnationEnd()
        return self.ending


class Host(Protocol):
    """The keeper of a cell: its parent's `Children`, or the system for the root. Decides what follows each end."""

    @property
    def owner(self) -> Cell | None:
        """The supervising actor; None for the root."""

    @property
    def nursery(self) -> trio.Nursery:
        """The nursery in which the actor's tasks run."""

    def child_ended(self, cell: Cell, reason: Exit) -> None:
        """Decide after an incarnation has ended."""

    def resumed(self, cell: Cell, error: Exception) -> None:
        """Take note of an error that the actor survived."""

    def retire(self, cell: Cell, reason: Exit) -> None:
        """Free the actor's name, and bury it."""


class Orders:
    """The orders to an actor. `life.LiveCell` carries them out."""

    __slots__ = ()

    def start(self) -> None:
        """Start the next incarnation in the host's nursery."""

    def restart_after(self, delay_s: float) -> None:
        """Start the next incarnation after a delay, or at once if it is zero."""

    def back_off(self) -> None:
        """Enter `BACKING_OFF`; the caller measures the delay."""

    def continue_drain(self) -> None:
        """Start another incarnation, without a delay, for the messages left in a drain."""

    def start_task(self, name: str | None, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        """Start a task that runs until it returns or the incarnation ends."""

    def watch(self, target: Cell, options: Watch) -> None:
        """Get one `Terminated` when `target` ends."""

    def unwatch(self, target: Cell) -> None:
        """Remove the watch, and a notice that was not received yet."""

    def outlive(self, target: Cell) -> None:
        """Make the watch of `target` no longer vital."""

    def fail(self, error: Exception) -> None:
        """Crash from outside of `receive`."""

    def order_stop(self, mode: StopMode, *, final: bool = True, reason: Exit = SHUTDOWN) -> None:
        """Order the actor to end. If `final`, it gets no other incarnation, whatever its restart type."""

    def kill(self) -> None:
        """Cancel the actor and everything below it; harmless if no incarnation runs."""

    def kill_alone(self) -> None:
        """Cancel the actor's own work and let it take no further message; leave its children alone."""

    def bury(self, reason: Exit) -> None:
        """End the actor for good. The host has freed the name already."""


class Cell(Orders):
    """One actor through all its restarts."""

    __slots__ = (
        "_ref", "children", "dead_event", "exit", "history", "host", "inbox", "incarnation", "kind", "path", "spec",
        "state", "system", "waiting", "watchers",
    )  # fmt: skip

    def __init__(self, system: Directory, host: Host, spec: ChildSpec) -> None:
        self.system: Directory = system
        self.host: Host = host
        self.spec: ChildSpec = spec
        self.path: str = f"{host.owner.path if host.owner else ''}/{spec.id}"
        self.inbox: ActorInbox = ActorInbox(
            self.path, system.lose, ContextPropagator(system.carry) if system.carry else None
        )
        self._ref: ActorRef | ReferenceType[ActorRef] = ActorRef(self)
        self.state: State = _STOPPED
        self.kind: type[object] = object
        """The class of the actor, once one was made."""
        self.incarnation: Incarnation = Incarnation()
        self.history: ActorHistory = ActorHistory(system.timers.now())
        self.exit: Exit | None = None
        self.children: Children | None = None
        """The children of the incarnation that runs; None if none runs, or if it cannot have children."""
        self.watchers: dict[Cell, Watch] | None = None
        self.waiting: list[tuple[Step, Callable[[], None]]] | None = None
        """Functions to call once after a step: the start is over, the incarnation has ended, or the actor is buried."""
        self.dead_event: trio.Event | None = None

    @property
    def ref(self) -> ActorRef:
        """The reference to the actor: one object, for as long as anything refers to it."""
        if isinstance(self._ref, ActorRef):
            return self._ref
        if (ref := self._ref()) is None:
            ref = ActorRef(self)
            self._ref = ReferenceType(ref)
        return ref

    @property
    def buried(self) -> bool:
        """Whether the actor has ended for good."""
        return self.state is _GONE

    @property
    def down(self) -> bool:
        """Whether no incarnation runs."""
        state = self.state
        return state is _STOPPED or state is _BACKING_OFF or state is _GONE

    @property
    def task(self) -> trio.lowlevel.Task | None:
        """The actor's own task; None if none runs."""
        return self.incarnation.task

    @property
    def doomed(self) -> bool:
        """Whether the incarnation has ended or certainly will: then its calls fail with `ActorDied`."""
        return self.state is _GONE or self.incarnation.ending.certain

    def step(self, step: Step) -> None:
        """Change to the next state, and report it to the streams of the tree."""
        previous, self.state = self.state, next_state(self.state, step)
        if self.system.streams and self.state is not previous:
            self.system.changed(self)

    # Messages

    def put_control(self, item: object) -> None:
        """Queue an item that is served before all lanes and never refused.

        While no incarnation runs, requests are kept for the next one; timers and urgent notices are dropped, since they
        belong to the incarnation that has ended.
        """
        if not self.down or isinstance(item, Ask):
            inbox = self.inbox
            if inbox.control is None:
                inbox.control = deque()
            inbox.control.append(item)
            inbox.interrupt = True
            inbox.wake()

    def overflow(self, queue: LaneQueue, message: object) -> None:
        """Handle a message that `tell` could not append. Raises `MailboxFull` and `WrongLoop`."""
        self.inbox.overflow(queue, message, self.death_error, "dead" if self.buried else "stopping")

    def death_error(self) -> ActorDied:
        """Return the error for a request to an actor that has ended for good, or was told to."""
        return death(self.path, self.exit if self.buried else self.incarnation.ending.reason())

    def cancel_current(self, request: Ask[Any]) -> None:
        """Cancel the handling of `request` if it is the current message; the actor goes on with the next one."""
        life = self.incarnation
        if self.inbox.current is request and life.started and not (life.ending.stopping or life.ending.killed):
            life.cancelling_current = True
            self.inbox.interrupt = True
            life.scope.cancel()

    # Inspection

    def walk(self) -> Iterator[Cell]:
        """Iterate over this cell and all below, parents first. No recursion: a tree may be deeper than the stack."""
        pending = [self]
        while pending:
            cell = pending.pop()
            yield cell
            if cell.children is not None:
                pending.extend(reversed(cell.children.by_id.values()))

    def change(self) -> TreeChange:
        """Return the present state, for the streams of the tree."""
        gone = self.buried
        now = self.system.timers.now()
        state = _STOPPED if gone else self.state
        return TreeChange(self.path, self.kind.__name__, state, self.history.incarnations, now, gone)

    def explain(self) -> Explanation:
        """Return the state and the last ends of incarnations."""
        now, history = self.system.timers.now(), self.history
        return Explanation(
            path=self.path,
            type=self.kind.__name__,
            state=_STOPPED if self.buried else self.state,
            incarnation=history.incarnations,
            restarts=history.restarts,
            for_s=max(0.0, now - history.since),
            now_s=now,
            incidents=tuple(history.incidents or ()),
        )

    # Waiting

    def when_started(self, act: Callable[[], None]) -> None:
        """Call `act` when this start is over, at once if it is already. `start_error` says whether it failed."""
        if self.incarnation.started:
            act()
        else:
            self._when(Step.STARTED, act)

    def when_dead(self, act: Callable[[], None]) -> None:
        """Call `act` when the actor is buried, at once if it is already."""
        if self.buried:
            act()
        else:
            self._when(Step.BURY, act)

    async def wait_down(self) -> None:
        """Wait until no incarnation runs."""
        if not self.down:
            event = trio.Event()
            self._when(Step.ENDED, event.set)
            await event.wait()

    async def wait_dead(self) -> Exit:
        """Wait until the actor is buried. Return its exit."""
        if self.dead_event is None:  # shared by all waiting tasks: a cancelled wait leaves nothing behind
            self.dead_event = trio.Event()
            self.when_dead(self.dead_event.set)
        await self.dead_event.wait()
        return self.exit or NORMAL

    def _when(self, step: Step, act: Callable[[], None]) -> None:
        if self.waiting is None:
            self.waiting = []
        self.waiting.append((step, act))

    def take_waiting(self, *steps: Step) -> list[Callable[[], None]]:
        """Return the functions to call after one of these steps, and forget them."""
        if self.waiting is None:
            return []
        acts = [act for step, act in self.waiting if step in steps]
        self.waiting = [(step, act) for step, act in self.waiting if step not in steps] or None
        return acts


class Directory(Runtime):
    """The actors of one system by their paths: an `ActorSystem` as its actors see it."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.streams: list[TreeStream] = []
        self.doomed: deque[Cell] = deque()
        """The actors that `reaper` still has to kill."""
        self._cell: Cell | None = None
        self._obituaries: OrderedDict[str, Explanation] = OrderedDict()

    @property
    def root(self) -> ActorRef:
        """The root supervisor."""
        return self._root.ref

    def find(self, path: str) -> ActorRef | None:
        """Return the live actor at this path, or None."""
        cell = self.cell_at(path)
        if cell is None:
            self._root  # noqa: B018 - raises if the system was not entered
            return None
        return None if cell.buried else cell.ref

    def get(self, path: str) -> ActorRef:
        """Return the live actor at this path, as in `/system/chat/outbox`. Raises `NoSuchActor` if there is none."""
        ref = self.find(path)
        if ref is None:
            raise NoSuchActor(path)
        return ref

    def explain(self, path: str) -> Explanation | None:
        """Return the last ends of incarnations of the actor at this path, and the decision taken each time.

        Knows the live actors, and the last hundred that ended abnormally for good. None for any other path.
        """
        ref = self.find(path)
        return ref._cell.explain() if ref is not None else self._obituaries.get(path)

    def request_stop(self, grace_s: float | None = None) -> None:
        """Begin to stop the system, without waiting: for actors, tasks of a phase, and callbacks."""

    def interceptors_changed(self) -> None:
        """Make every actor look up its interceptors before its next message."""
        self.interceptors_version: int = self.interceptors_version + 1
        for cell in () if self._cell is None else self._cell.walk():
            cell.inbox.interrupt = True

    def changed(self, cell: Cell) -> None:
        """Report a new state to the streams of the tree."""
        change = cell.change()
        for stream in self.streams:
            stream.add(change)

    def undelivered(self, letter: DeadLetter) -> None:
        """Take a dead letter of the live actor at its path, for a message lost outside of the actor's mailbox."""
        cell = self.cell_at(letter.path)
        (self.lose if cell is None else cell.inbox.lose)(letter)

    def ended(self, cell: Cell, reason: Exit) -> None:
        """Keep an abnormal end for `explain`, and end the streams with the root."""
        if reason.abnormal:
            self._obituaries[cell.path] = cell.explain()
            self._obituaries.move_to_end(cell.path)
            if len(self._obituaries) > OBITUARIES:
                self._obituaries.popitem(last=False)
        if cell is self._cell:
            for stream in self.streams:
                stream.close()

    def cell_at(self, path: str) -> Cell | None:
        """Return the cell at this path, or None. May be called from any thread."""
        names = path.strip("/").split("/")
        cell: Cell | None = self._cell if names[0] == self.name else None
        for name in names[1:]:
            cell = cell.children.by_id.get(name) if cell is not None and cell.children is not None else None
        return cell

    @property
    def _root(self) -> Cell:
        if self._cell is None:
            raise NotEntered(self.name, "has not been entered yet: use `async with`")
        return self._cell

    def _checked_root(self) -> Cell:
        """Return the root. Raises `NotEntered`, and `WrongLoop` unless the system's loop runs in this thread."""
        self._root.inbox.check_loop()
        return self._root
