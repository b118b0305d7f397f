"""The place of one actor in the tree: what stays while its incarnations come and go.

1. `step` is the only way the state changes.
2. Everything here is synchronous but the two waits; what runs an actor is in `incarnation`.
3. `ended` is the last act of an incarnation's task: after it, no code of the user runs there.
4. A cell is buried once: its name is free, its mailbox closed, its callers and watchers told, in that order.
5. An actor without a start hook and without children has started when its task is made: nobody waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from . import dead_letters, incarnation
from .actor import Actor, Context, claim
from .ask import Ask
from .errors import InvalidSpec, StartDeclined, StartFailed, text_of
from .events import ActorStarted, ActorStopped
from .exit_reasons import KILLED, NORMAL, Crashed, Exit
from .lifecycle import State, Step, StopMode, next_state
from .mailbox import Mailbox, MailboxSpec
from .ref import ActorRef
from .spec import ChildSpec, Restart, Supervision
from .stash import bury_entries, carry_over, discard, entries_of
from .watch import notify_restart, notify_watchers, unwatch_all

if TYPE_CHECKING:
    from .actor import ActorTimer
    from .ask import Call
    from .children import Children
    from .host import Host
    from .incidents import Incident
    from .stash import RedeliveryQueue, Stash, StashEntry
    from .system import ActorSystem
    from .tasks import OwnedTasks
    from .timers import Timer
    from .watch import Watch


DEFAULT_MAILBOX = MailboxSpec()
Waiters = list[Callable[[], None]] | None
"""Who is to be called when something happens; None as long as nobody is."""


class Cell:
    """One actor as the runtime sees it."""

    __slots__ = (
        "actor",
        "buried",
        "calls",
        "cancelling_current",
        "children",
        "context",
        "control",
        "current",
        "current_is_control",
        "dead_event",
        "dead_waiters",
        "declined",
        "down_waiters",
        "ever_started",
        "exit",
        "failure",
        "failures_in_row",
        "grace_timer",
        "host",
        "in_group_restart",
        "incarnation",
        "incidents",
        "killed",
        "killed_before_failure",
        "kind",
        "last_error",
        "mailbox",
        "no_restart",
        "path",
        "redeliveries",
        "ref",
        "restart_timer",
        "restarts",
        "scope",
        "since",
        "spec",
        "start_error",
        "start_waiters",
        "started",
        "stashed_current",
        "stashes",
        "state",
        "static",
        "stop_mode",
        "stop_reason",
        "stopping",
        "system",
        "task",
        "tasks",
        "timers",
        "vital_watch",
        "watchers",
        "watching",
    )  # fmt: skip

    # Lasting
    system: ActorSystem
    host: Host
    spec: ChildSpec
    static: bool
    path: str
    mailbox: Mailbox
    ref: ActorRef
    state: State
    kind: type[Actor]
    incarnation: int
    restarts: int
    failures_in_row: int
    """Failures in a row, as the backoff counts them."""
    since: float
    """When the incarnation started, or the wait for the next one began."""
    ever_started: bool
    buried: bool
    in_group_restart: bool
    exit: Exit | None
    last_error: str | None
    incidents: deque[Incident] | None
    redeliveries: RedeliveryQueue | None
    """What comes back now, before what waits in the mailbox: it was set aside, or an incarnation crashed on it."""
    calls: dict[Call, None] | None
    watchers: dict[Cell, Watch] | None
    start_waiters: Waiters
    down_waiters: Waiters
    dead_waiters: Waiters
    dead_event: trio.Event | None
    start_error: StartFailed | None
    restart_timer: Timer | None

    # Of one incarnation
    actor: Actor | None
    context: Context | None
    task: trio.lowlevel.Task | None
    tasks: OwnedTasks | None
    children: Children | None
    scope: trio.CancelScope
    control: deque[Any] | None
    watching: dict[Cell, Watch] | None
    timers: dict[Hashable, ActorTimer] | None
    stashes: list[Stash] | None
    grace_timer: Timer | None
    current: object
    """The message in work, or None."""
    stashed_current: StashEntry | None
    """What the message in work was set aside as, if it was."""
    current_is_control: bool
    """Whether the message in work came before all lanes."""
    vital_watch: ActorRef | None
    """Whose end the actor is hearing of, as long as it has not said that it can live with that."""
    cancelling_current: bool
    """Whether the message in work was cancelled because nobody waits for it any more."""
    failure: Exception | None
    stop_mode: StopMode | None
    stop_reason: Exit
    started: bool
    killed: bool
    killed_before_failure: bool
    """Whether the fault, if there is one, came after a kill."""
    declined: bool
    stopping: bool
    no_restart: bool

    def __init__(self, system: ActorSystem, host: Host, spec: ChildSpec, *, static: bool = False) -> None:
        self.system = system
        self.host = host
        self.spec = spec
        self.static = static
        self.path = f"{host.owner.path if host.owner else ''}/{spec.id}"
        self.mailbox = Mailbox(DEFAULT_MAILBOX, system.new_propagator())
        self.ref = ActorRef(self)
        self.state = State.STOPPED
        self.kind = Actor
        self.incarnation = self.restarts = self.failures_in_row = 0
        self.since = system.timers.now()
        self.ever_started = self.buried = self.in_group_restart = False
        self.exit = self.last_error = self.incidents = self.redeliveries = self.calls = self.watchers = None
        self.start_waiters = self.down_waiters = self.dead_waiters = self.dead_event = None
        self.start_error = self.restart_timer = self.control = None
        self._reset()

    def _reset(self) -> None:
        """Forget what belongs to one incarnation."""
        self.actor = self.context = self.task = self.tasks = self.children = None
        self.watching = self.timers = self.stashes = self.grace_timer = None
        self.current = self.stashed_current = self.vital_watch = self.failure = self.stop_mode = None
        self.mailbox.barriers = None
        self.scope = trio.CancelScope()
        self.stop_reason = NORMAL
        self.started = self.killed = self.killed_before_failure = self.declined = self.stopping = self.no_restart = (
            self.current_is_control
        ) = self.cancelling_current = False

    def step(self, step: Step) -> None:
        """Come into the next state, and tell who follows the tree."""
        before, self.state = self.state, next_state(self.state, step)
        if self.system.streams and self.state is not before:
            self.system.changed(self)

    @property
    def message_type(self) -> str | None:
        """The type's name of the message in work; None when there is none."""
        return None if self.current is None else type(self.current).__name__

    @property
    def ending(self) -> bool:
        """Whether this incarnation has ended, or will: by an order, a kill, or a fault."""
        return self.buried or self.stopping or self.killed or self.failure is not None or self.stop_mode is not None

    # Beginning

    def start_incarnation(self) -> None:
        """Start the next incarnation in the host's nursery."""
        if self.incarnation:
            self._reset()
        self.control = self._lasting_requests()
        self.incarnation += 1
        self.step(Step.START)
        self.restart_timer = None
        self.start_error = None
        context = self.context = Context(self)
        nursery, start_soon = self.host.nursery, self.system.start_soon
        try:
            actor = self._make_actor()
        except BaseException as error:
            start_soon(nursery, self.path, incarnation.fail_start, self, error)
            return
        if actor.supervision is not None:
            start_soon(nursery, self.path, incarnation.run_with_children, self, actor, context, actor.supervision)
            return
        start_soon(nursery, self.path, incarnation.runner_of(actor), self, actor, context)
        if self.kind.on_start is Actor.on_start and self.kind.lifespan is Actor.lifespan:
            self.mark_started()

    def _make_actor(self) -> Actor:
        actor = self.spec.factory()
        if not isinstance(actor, Actor):
            raise TypeError(f"the factory of {self.path} made a {type(actor).__name__}, not an Actor")
        claim(actor, self.path)
        if not isinstance(actor.mailbox, MailboxSpec):
            raise InvalidSpec("mailbox", f"must be a MailboxSpec, not {actor.mailbox!r}")
        if not isinstance(actor.supervision, Supervision | None):
            raise InvalidSpec("supervision", f"must be a Supervision or None, not {actor.supervision!r}")
        self.actor = actor
        self.kind = type(actor)
        if self.spec.restart is Restart.TEMPORARY:
            self.spec = self.spec.without_factory()  # there is no second incarnation
        if actor.mailbox is not self.mailbox.spec:
            self.mailbox.configure(actor.mailbox)
        return actor

    def mark_started(self) -> None:
        """The start hook returned."""
        if self.state is not State.STARTING:
            return
        self.step(Step.STARTED)
        self.started = self.ever_started = True
        self.since = self.system.timers.now()
        if self.system.has_listeners():
            self.system.emit(ActorStarted(self.path, self.incarnation))
        if self.start_waiters is not None:
            self._call_waiters("start_waiters")
        if self.watchers and self.incarnation > 1:
            notify_restart(self)

    def restart_after(self, delay_s: float) -> None:
        """Begin again after a delay, or at once when it is zero."""
        if delay_s > 0:
            self.back_off()
            self.restart_timer = self.system.timers.after(delay_s, self.start_incarnation)
        else:
            self.start_incarnation()

    def back_off(self) -> None:
        """Wait for a delay that is measured elsewhere."""
        self.since = self.system.timers.now()
        self.step(Step.WAIT)

    def next_delay(self) -> float:
        """The delay in seconds before the next incarnation; counts one more failure in a row."""
        backoff = self.spec.backoff
        if backoff is None:
            return 0.0
        if self.started and backoff.forgets(self.system.timers.now() - self.since):
            self.failures_in_row = 0
        self.failures_in_row += 1
        return backoff.delay(self.failures_in_row - 1, self.system.random.random())

    # Ending

    def exit_reason(self) -> Exit:
        """Why this incarnation ends, as known by now."""
        if self.failure is not None and not self.killed_before_failure:
            return Crashed(self.failure)
        return KILLED if self.killed else self.stop_reason

    def finish_incarnation(self) -> None:
        """The incarnation is over: release what it had, and let the host decide."""
        reason = self.exit = self.exit_reason()
        self.step(Step.ENDED)
        if isinstance(reason, Crashed):
            self.last_error = self.system.redacted(text_of(reason.error))
        self._release(reason)
        waiting: list[Callable[[], None]] = []
        if not self.started:
            self.start_error = (StartDeclined if self.declined else StartFailed)(self.path, self.failure)
            if (
                self.no_restart or not self.in_group_restart
            ):  # else it starts again with its group, and its starter waits on
                waiting, self.start_waiters = self.start_waiters or waiting, None
        if self.down_waiters is not None:
            waiting, self.down_waiters = [*waiting, *self.down_waiters], None
        self.host.child_ended(self, reason)
        if self.state in (State.STOPPED, State.BACKING_OFF):
            self._reset()
            self.control = self._lasting_requests()
        for waiter in waiting:
            waiter()

    def _release(self, reason: Exit) -> None:
        if self.grace_timer is not None:
            self.grace_timer.cancel()
        if self.timers:
            for timer in tuple(self.timers.values()):
                timer.cancel()
        if self.watching:
            unwatch_all(self)
        if self.stashes is not None:
            carry_over(self)
        dead_letters.fail_calls_in_work(self, reason)
        if self.spec.redeliver and reason.abnormal:
            dead_letters.redeliver_crashed(self, reason)
        if self.redeliveries is not None:
            self.redeliveries.current = None

    def bury(self, reason: Exit) -> None:
        """End for good. The host has freed the name already."""
        self.buried = True
        self.exit = reason
        if self.redeliveries is not None:
            bury_entries(self)
        self.control = None
        self.mailbox.close(partial(dead_letters.bury_message, self))
        dead_letters.fail_calls(self, self.calls or (), reason)
        self.system.ended(self, reason)
        self.system.emit(ActorStopped(self.path, reason, self.message_type))
        self._call_waiters("start_waiters")
        self._call_waiters("dead_waiters")
        if self.watchers:
            notify_watchers(self, reason)

    # Messages

    def put_control(self, item: object) -> None:
        """Queue something that goes before all lanes and is never refused.

        Timers and notices of urgent watches belong to an incarnation; a request waits for the next one, as those in the
        mailbox do.
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
        if not self.control:
            return None
        return deque(item for item in self.control if isinstance(item, Ask) and item.waiting) or None

    def walk(self) -> Iterator[Cell]:
        """This cell and all below, parents first; a tree may be deeper than Python's stack."""
        rest = [self]
        while rest:
            cell = rest.pop()
            yield cell
            if cell.children is not None:
                rest.extend(reversed(cell.children.by_id.values()))

    def withdraw(self, request: object) -> None:
        """Take back a request that was not taken yet."""
        if self.control:
            self.control = deque(item for item in self.control if item is not request)
        self.mailbox.remove(request)
        if self.stashes is not None or self.redeliveries is not None:
            discard(self, request)

    def holds(self, request: object) -> bool:
        """Whether the request is in work, or waits to be."""
        if self.current is request or self.mailbox.holds(request):
            return True
        return any(item is request for item in (*(self.control or ()), *(entry.message for entry in entries_of(self))))

    def cancel_current(self, request: object) -> None:
        """Cancel the handling of a request nobody waits for; the actor goes on with its next message."""
        if self.current is request and self.started and not (self.stopping or self.killed):
            self.cancelling_current = True
            self.mailbox.interrupt = True
            self.scope.cancel()

    # Waiting

    def when_started(self, act: Callable[[], None]) -> None:
        """Call `act` when this start is over, well or not; `start_error` tells. At once when it is over already."""
        if self.started:
            act()
        else:
            waiters = self.start_waiters = self.start_waiters or []
            waiters.append(act)

    def when_dead(self, act: Callable[[], None]) -> None:
        """Call `act` when the actor is buried; at once when it is already."""
        if self.buried:
            act()
        else:
            waiters = self.dead_waiters = self.dead_waiters or []
            waiters.append(act)

    async def wait_down(self) -> None:
        """Wait until no incarnation runs."""
        if self.state not in (State.STOPPED, State.BACKING_OFF):
            event = trio.Event()
            waiters = self.down_waiters = self.down_waiters or []
            waiters.append(event.set)
            await event.wait()

    async def wait_dead(self) -> Exit:
        """Wait until the actor is buried; return its exit."""
        if self.dead_event is None:  # one for all who wait: those who give up leave nothing behind
            self.dead_event = trio.Event()
            self.when_dead(self.dead_event.set)
        await self.dead_event.wait()
        return self.exit or NORMAL

    def _call_waiters(self, name: str) -> None:
        waiters = getattr(self, name)
        setattr(self, name, None)
        for waiter in waiters or ():
            waiter()
