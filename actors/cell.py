"""The place of one actor in the tree: what stays while its incarnations come and go.

1. `_step` is the only way the state changes.
2. Everything here is synchronous but the two waits; what runs an actor is in `incarnation`.
3. `ended` is the last act of an incarnation's task: after it, no code of the user runs there.
4. A cell is buried once: its name is free, its mailbox closed, its callers and watchers told, in that order.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import trio

from . import incarnation, letters
from .actor import Actor, ActorTimer, Context
from .ask import Ask, Call
from .errors import StartDeclined, StartFailed
from .exits import KILLED, NORMAL, SHUTDOWN, Crashed, Exit
from .lifecycle import State, Step, after
from .mailbox import Mailbox, MailboxSpec
from .records import ActorStarted, ActorStopped
from .ref import ActorRef, StopMode
from .spec import SUPERVISOR_SHUTDOWN_S, WORKER_SHUTDOWN_S, ChildSpec
from .watch import notify_watchers, unwatch_all

if TYPE_CHECKING:
    from .family import Family
    from .system import ActorSystem
    from .tasks import OwnedTasks
    from .timers import Timer

_DEFAULT_MAILBOX = MailboxSpec()


class Host(Protocol):
    """Who holds a cell: the family of its parent, or the system for the root."""

    owner: Cell | None
    nursery: trio.Nursery

    def child_ended(self, cell: Cell, reason: Exit) -> None:
        """An incarnation is over: decide what comes next."""

    def resumed(self, cell: Cell, error: Exception) -> None:
        """The cell goes on after an error."""

    def give_up(self, cell: Cell, reason: Exit) -> None:
        """The cell will have no further incarnation: forget its name and bury it."""


class Cell:
    """One actor as the runtime sees it."""

    current: object
    path: str
    incarnation: int
    mailbox: Mailbox

    __slots__ = (
        "born", "buried", "calls", "context", "control", "current", "dead_waiters", "declined", "down_waiters",
        "exit", "failures", "family", "fault", "final", "grace", "grouped", "host", "incarnation", "killed", "kind",
        "last_error", "leaving", "mailbox", "mode", "path", "ref", "restarts", "retry", "scope", "since", "spec",
        "start_error", "start_waiters", "state", "static", "stop_reason", "system", "task", "tasks", "timers", "up",
        "watchers", "watching",
    )  # fmt: skip

    def __init__(self, system: ActorSystem, host: Host, spec: ChildSpec, *, static: bool = False) -> None:
        self.system = system
        self.host = host
        self.spec = spec
        self.static = static
        self.path = f"{host.owner.path if host.owner else ''}/{spec.id}"
        self.mailbox = Mailbox(_DEFAULT_MAILBOX)
        self.ref = ActorRef(self)
        self.state = State.STOPPED
        self.kind: type[Actor] = Actor
        self.incarnation = self.restarts = self.failures = 0
        self.since = system.timers.now()
        self.born = self.buried = self.grouped = False
        self.exit: Exit | None = None
        self.last_error: str | None = None
        self.calls: set[Call] | None = None
        self.watchers: dict[Cell, None] | None = None
        self.start_waiters: list[Callable[[], None]] | None = None
        self.down_waiters: list[Callable[[], None]] | None = None
        self.dead_waiters: list[Callable[[], None]] | None = None
        self.retry: Timer | None = None
        self.control: deque[Any] | None = None
        self._reset()

    def _reset(self) -> None:
        """Forget what belongs to one incarnation."""
        self.context: Context | None = None
        self.task: trio.lowlevel.Task | None = None
        self.tasks: OwnedTasks | None = None
        self.family: Family | None = None
        self.scope = trio.CancelScope()
        self.control = self._lasting_requests()
        self.watching: dict[Cell, None] | None = None
        self.timers: dict[Hashable, ActorTimer] | None = None
        self.grace: Timer | None = None
        self.current: object = None
        self.fault: Exception | None = None
        self.mode: StopMode | None = None
        self.stop_reason: Exit = NORMAL
        self.up = self.killed = self.declined = self.leaving = self.final = False

    # Beginning

    def begin(self) -> None:
        """Start the next incarnation in the host's nursery."""
        self._reset()
        self._step(Step.START)
        self.retry = None
        self.incarnation += 1
        self.start_error: StartFailed | None = None
        context = self.context = Context(self)
        nursery, start_soon = self.host.nursery, self.system.start_soon
        try:
            actor = self._make_actor()
        except Exception as error:
            self.fault = error
            start_soon(nursery, self.path, incarnation.never_live, self)
            return
        if actor.supervision is None:
            start_soon(nursery, self.path, incarnation.live, self, actor, context)
        else:
            start_soon(nursery, self.path, incarnation.live_with_children, self, actor, context, actor.supervision)

    def _make_actor(self) -> Actor:
        actor = self.spec.factory()
        if not isinstance(actor, Actor):
            raise TypeError(f"the factory of {self.path} made a {type(actor).__name__}, not an Actor")
        self.kind = type(actor)
        if actor.mailbox is not self.mailbox.spec:
            self.mailbox.configure(actor.mailbox)
        return actor

    def started(self) -> None:
        """The start hook returned."""
        if self.state is not State.STARTING:
            return
        self._step(Step.STARTED)
        self.up = self.born = True
        self.since = self.system.timers.now()
        self.system.emit(ActorStarted(self.path, self.incarnation))
        self._call_waiters("start_waiters")

    def restart_after(self, delay_s: float) -> None:
        """Begin again after a delay, or at once when it is zero."""
        if delay_s > 0:
            self._step(Step.WAIT)
            self.retry = self.system.timers.after(delay_s, self.begin)
        else:
            self.begin()

    def back_off(self) -> None:
        """Wait for a delay that the host measures."""
        self._step(Step.WAIT)

    def next_delay(self) -> float:
        """The delay in seconds before the next incarnation; counts one more failure in a row."""
        backoff = self.spec.backoff
        if backoff is None:
            return 0.0
        if self.up and backoff.forgets(self.system.timers.now() - self.since):
            self.failures = 0
        self.failures += 1
        return backoff.delay(self.failures - 1, self.system.random.random())

    # Ending

    def order_stop(self, mode: StopMode, *, final: bool = True, reason: Exit = SHUTDOWN) -> None:
        """Tell the actor to end. `final`: whatever its restart type says, it does not come back."""
        if self.buried:
            return
        if self.state in (State.STOPPED, State.BACKING_OFF):
            if self.retry is not None:
                self.retry.cancel()
                self.retry = None
            self._step(Step.END)
            if final:
                self.host.give_up(self, reason)
            return
        self.final = self.final or final
        if self.mode is None:
            self.stop_reason = reason
        if self.leaving:
            return
        starting = self.state is State.STARTING
        self._step(Step.END)
        self.mode = mode if self.mode is None or mode is StopMode.NOW else self.mode
        self.arm_grace()
        if starting or mode is StopMode.NOW:
            self.scope.cancel()
        self.mailbox.interrupt = True
        self.mailbox.wake()

    def kill(self) -> None:
        """Cancel hard, with everything below; harmless when nothing runs."""
        if self.state in (State.STOPPED, State.BACKING_OFF):
            return
        self.killed = True
        if self.family is not None:
            self.family.kill_all()
        self.scope.cancel()

    def fail(self, error: Exception) -> None:
        """Crash from outside of `receive`: an own task raised, or the children fail too often."""
        if self.state in (State.STOPPED, State.BACKING_OFF):
            return
        self.note_fault(error)
        if not self.leaving:
            self.scope.cancel()

    def note_fault(self, error: Exception) -> None:
        """Remember the first error of this incarnation."""
        if self.fault is None:
            self.fault = error

    def resume(self, error: Exception) -> None:
        """Go on after an error: its message is skipped, and its caller told."""
        self.last_error = f"{type(error).__name__}: {error}"
        self.host.resumed(self, error)
        if isinstance(self.current, Ask):
            letters.refuse(self.current, error)

    def must_leave(self) -> bool:
        """Whether the next message is not to be taken."""
        return self.fault is not None or self.mode in (StopMode.NOW, StopMode.AFTER_MESSAGE)

    def leave(self) -> None:
        """The work is over; the stop hook comes next. Starts the grace of an end that nobody ordered."""
        self.leaving = True
        self._step(Step.END)
        if self._waits_for_children() and self.grace is not None:
            self.grace.cancel()
        else:
            self.arm_grace()

    def children_ended(self) -> None:
        """Only the stop hook is left: without a grace of its own, the actor has a worker's for it."""
        if self._waits_for_children() and not self.killed:
            self.grace = self.system.timers.after(WORKER_SHUTDOWN_S, self.kill)

    def arm_grace(self) -> None:
        """Start to count the grace, once for each incarnation; at its end the actor is killed.

        An actor with children and no grace of its own waits for them without limit, but its own message in work gets
        no more time than a worker's: else one that hangs would hold up the whole tree for ever.
        """
        if self.grace is not None or self.killed:
            return
        timers, seconds = self.system.timers, self.shutdown_s()
        if self._waits_for_children():
            self.grace = None if self.leaving else timers.after(WORKER_SHUTDOWN_S, self._overrun)
        elif seconds <= 0:
            self.kill()
        elif seconds != math.inf:
            self.grace = timers.after(seconds, self.kill)

    def _overrun(self) -> None:
        self.killed = True
        self.scope.cancel()

    def _waits_for_children(self) -> bool:
        return self.family is not None and self.spec.shutdown_s is None

    def shutdown_s(self) -> float:
        """The grace in seconds: the spec's, else the default of a worker or of a supervisor."""
        if self.spec.shutdown_s is not None:
            return self.spec.shutdown_s
        return WORKER_SHUTDOWN_S if self.family is None else SUPERVISOR_SHUTDOWN_S

    def verdict(self) -> Exit:
        """Why this incarnation ends, as known by now."""
        if self.killed:
            return KILLED
        if self.fault is not None:
            return Crashed(self.fault)
        return self.stop_reason

    def ended(self) -> None:
        """The incarnation is over: release what it had, and let the host decide."""
        reason = self.exit = self.verdict()
        self._step(Step.ENDED)
        if isinstance(reason, Crashed):
            self.last_error = f"{type(reason.error).__name__}: {reason.error}"
        self._release(reason)
        waiting: list[Callable[[], None]] = []
        if not self.up:
            self.start_error = (StartDeclined if self.declined else StartFailed)(self.path, self.fault)
            waiting, self.start_waiters = self.start_waiters or waiting, None
        waiting, self.down_waiters = [*waiting, *(self.down_waiters or ())], None
        self.host.child_ended(self, reason)
        if self.state in (State.STOPPED, State.BACKING_OFF):
            self._reset()
        for waiter in waiting:
            waiter()

    def _release(self, reason: Exit) -> None:
        if self.grace is not None:
            self.grace.cancel()
        for timer in tuple((self.timers or {}).values()):
            timer.cancel()
        unwatch_all(self)
        letters.fail_calls_in_work(self, reason)

    def bury(self, reason: Exit) -> None:
        """End for good. The host has freed the name already."""
        self.buried = True
        self.exit = reason
        self.mailbox.close(partial(letters.bury_message, self))
        letters.fail_calls(self, self.calls or (), reason)
        self.system.emit(ActorStopped(self.path, reason))
        self._call_waiters("dead_waiters")
        notify_watchers(self, reason)

    # Messages

    def control_message(self, item: object) -> None:
        """Queue something that goes before all lanes and is never refused.

        Notices and timers belong to an incarnation; a request waits for the next one, as those in the mailbox do.
        """
        if self.state in (State.STOPPED, State.BACKING_OFF) and not isinstance(item, Ask):
            return
        if self.control is None:
            self.control = deque()
        self.control.append(item)
        self.mailbox.interrupt = True
        self.mailbox.wake()

    def _lasting_requests(self) -> deque[Any] | None:
        """The requests that came while no incarnation ran, and whose callers still wait."""
        kept = deque(item for item in self.control or () if isinstance(item, Ask) and item.waiting)
        return kept or None

    def withdraw(self, request: object) -> None:
        """Take back a request that was not taken yet."""
        if self.control:
            self.control = deque(item for item in self.control if item is not request)
        self.mailbox.remove(request)

    # Waiting

    def when_started(self, act: Callable[[], None]) -> None:
        """Call `act` when this start is over, well or not; `start_error` tells."""
        self.start_waiters = [*(self.start_waiters or ()), act]

    def when_dead(self, act: Callable[[], None]) -> None:
        """Call `act` when the actor is buried; at once when it is already."""
        if self.buried:
            act()
        else:
            self.dead_waiters = [*(self.dead_waiters or ()), act]

    async def wait_down(self) -> None:
        """Wait until no incarnation runs."""
        if self.state not in (State.STOPPED, State.BACKING_OFF):
            event = trio.Event()
            self.down_waiters = [*(self.down_waiters or ()), event.set]
            await event.wait()

    async def wait_dead(self) -> Exit:
        """Wait until the actor is buried; return its exit."""
        event = trio.Event()
        self.when_dead(event.set)
        await event.wait()
        return self.exit or NORMAL

    # Parts

    def _step(self, step: Step) -> None:
        self.state = after(self.state, step)

    def _call_waiters(self, name: str) -> None:
        waiters = getattr(self, name)
        setattr(self, name, None)
        for waiter in waiters or ():
            waiter()
