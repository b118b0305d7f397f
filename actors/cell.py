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
from .actor import Actor, Context, take
from .ask import Ask
from .errors import InvalidSpec, StartDeclined, StartFailed, text_of
from .events import ActorStarted, ActorStopped
from .exit_reasons import KILLED, NORMAL, Crashed, Exit
from .lifecycle import State, Step, StopMode, after
from .mailbox import Mailbox, MailboxSpec
from .ref import ActorRef
from .spec import ChildSpec, Restart, Supervision
from .stash import bury_kept, keep_for_next, kept_by, take_out
from .watch import notify_restart, notify_watchers, unwatch_all

if TYPE_CHECKING:
    from .actor import ActorTimer
    from .ask import Call
    from .children import Family
    from .host import Host
    from .incidents import Incident
    from .stash import Kept, Returning, Stash
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
        "actor", "again", "born", "buried", "calls", "context", "control", "current", "dead", "dead_waiters",
        "declined", "down_waiters", "exit", "failures", "family", "fault", "final", "grace", "grouped", "history",
        "host", "incarnation", "kept_now", "killed", "killed_first", "kind", "last_error", "leaving", "mailbox",
        "mode", "on_control", "pact", "path", "ref", "restarts", "retry", "scope", "since", "skipping", "spec",
        "start_error", "start_waiters", "stashes", "state", "static", "stop_reason", "system", "task", "tasks",
        "timers", "up", "watchers", "watching",
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
    failures: int
    """Failures in a row, as the backoff counts them."""
    since: float
    """When the incarnation started, or the wait for the next one began."""
    born: bool
    buried: bool
    grouped: bool
    exit: Exit | None
    last_error: str | None
    history: deque[Incident] | None
    again: Returning | None
    """What comes back now, before what waits in the mailbox: it was set aside, or an incarnation crashed on it."""
    calls: dict[Call, None] | None
    watchers: dict[Cell, Watch] | None
    start_waiters: Waiters
    down_waiters: Waiters
    dead_waiters: Waiters
    dead: trio.Event | None
    start_error: StartFailed | None
    retry: Timer | None

    # Of one incarnation
    actor: Actor | None
    context: Context | None
    task: trio.lowlevel.Task | None
    tasks: OwnedTasks | None
    family: Family | None
    scope: trio.CancelScope
    control: deque[Any] | None
    watching: dict[Cell, Watch] | None
    timers: dict[Hashable, ActorTimer] | None
    stashes: list[Stash] | None
    grace: Timer | None
    current: object
    """The message in work, or None."""
    kept_now: Kept | None
    """What the message in work was set aside as, if it was."""
    on_control: bool
    """Whether the message in work came before all lanes."""
    pact: ActorRef | None
    """Whose end the actor is hearing of, as long as it has not said that it can live with that."""
    skipping: bool
    """Whether the message in work was cancelled because nobody waits for it any more."""
    fault: Exception | None
    mode: StopMode | None
    stop_reason: Exit
    up: bool
    killed: bool
    killed_first: bool
    """Whether the fault, if there is one, came after a kill."""
    declined: bool
    leaving: bool
    final: bool

    def __init__(self, system: ActorSystem, host: Host, spec: ChildSpec, *, static: bool = False) -> None:
        self.system = system
        self.host = host
        self.spec = spec
        self.static = static
        self.path = f"{host.owner.path if host.owner else ''}/{spec.id}"
        self.mailbox = Mailbox(DEFAULT_MAILBOX, system.carrier())
        self.ref = ActorRef(self)
        self.state = State.STOPPED
        self.kind = Actor
        self.incarnation = self.restarts = self.failures = 0
        self.since = system.timers.now()
        self.born = self.buried = self.grouped = False
        self.exit = self.last_error = self.history = self.again = self.calls = self.watchers = None
        self.start_waiters = self.down_waiters = self.dead_waiters = self.dead = None
        self.start_error = self.retry = self.control = None
        self._reset()

    def _reset(self) -> None:
        """Forget what belongs to one incarnation."""
        self.actor = self.context = self.task = self.tasks = self.family = None
        self.watching = self.timers = self.stashes = self.grace = None
        self.current = self.kept_now = self.pact = self.fault = self.mode = None
        self.mailbox.barriers = None
        self.scope = trio.CancelScope()
        self.stop_reason = NORMAL
        self.up = self.killed = self.killed_first = self.declined = self.leaving = self.final = self.on_control = (
            self.skipping
        ) = False

    def step(self, step: Step) -> None:
        """Come into the next state, and tell who follows the tree."""
        before, self.state = self.state, after(self.state, step)
        if self.system.streams and self.state is not before:
            self.system.changed(self)

    @property
    def message_type(self) -> str | None:
        """The type's name of the message in work; None when there is none."""
        return None if self.current is None else type(self.current).__name__

    @property
    def ending(self) -> bool:
        """Whether this incarnation has ended, or will: by an order, a kill, or a fault."""
        return self.buried or self.leaving or self.killed or self.fault is not None or self.mode is not None

    # Beginning

    def begin(self) -> None:
        """Start the next incarnation in the host's nursery."""
        if self.incarnation:
            self._reset()
        self.control = self._lasting_requests()
        self.incarnation += 1
        self.step(Step.START)
        self.retry = None
        self.start_error = None
        context = self.context = Context(self)
        nursery, start_soon = self.host.nursery, self.system.start_soon
        try:
            actor = self._make_actor()
        except BaseException as error:
            start_soon(nursery, self.path, incarnation.never_live, self, error)
            return
        if actor.supervision is not None:
            start_soon(nursery, self.path, incarnation.live_with_children, self, actor, context, actor.supervision)
            return
        start_soon(nursery, self.path, incarnation.way_of(actor), self, actor, context)
        if self.kind.on_start is Actor.on_start and self.kind.lifespan is Actor.lifespan:
            self.started()

    def _make_actor(self) -> Actor:
        actor = self.spec.factory()
        if not isinstance(actor, Actor):
            raise TypeError(f"the factory of {self.path} made a {type(actor).__name__}, not an Actor")
        take(actor, self.path)
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

    def started(self) -> None:
        """The start hook returned."""
        if self.state is not State.STARTING:
            return
        self.step(Step.STARTED)
        self.up = self.born = True
        self.since = self.system.timers.now()
        if self.system.heard():
            self.system.emit(ActorStarted(self.path, self.incarnation))
        if self.start_waiters is not None:
            self._call_waiters("start_waiters")
        if self.watchers and self.incarnation > 1:
            notify_restart(self)

    def restart_after(self, delay_s: float) -> None:
        """Begin again after a delay, or at once when it is zero."""
        if delay_s > 0:
            self.back_off()
            self.retry = self.system.timers.after(delay_s, self.begin)
        else:
            self.begin()

    def back_off(self) -> None:
        """Wait for a delay that is measured elsewhere."""
        self.since = self.system.timers.now()
        self.step(Step.WAIT)

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

    def verdict(self) -> Exit:
        """Why this incarnation ends, as known by now."""
        if self.fault is not None and not self.killed_first:
            return Crashed(self.fault)
        return KILLED if self.killed else self.stop_reason

    def ended(self) -> None:
        """The incarnation is over: release what it had, and let the host decide."""
        reason = self.exit = self.verdict()
        self.step(Step.ENDED)
        if isinstance(reason, Crashed):
            self.last_error = self.system.redacted(text_of(reason.error))
        self._release(reason)
        waiting: list[Callable[[], None]] = []
        if not self.up:
            self.start_error = (StartDeclined if self.declined else StartFailed)(self.path, self.fault)
            if self.final or not self.grouped:  # else it starts again with its group, and its starter waits on
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
        if self.grace is not None:
            self.grace.cancel()
        if self.timers:
            for timer in tuple(self.timers.values()):
                timer.cancel()
        if self.watching:
            unwatch_all(self)
        if self.stashes is not None:
            keep_for_next(self)
        dead_letters.fail_calls_in_work(self, reason)
        if self.spec.redeliver and reason.abnormal:
            dead_letters.keep_for_redelivery(self, reason)
        if self.again is not None:
            self.again.in_work = None

    def bury(self, reason: Exit) -> None:
        """End for good. The host has freed the name already."""
        self.buried = True
        self.exit = reason
        if self.again is not None:
            bury_kept(self)
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

    def control_message(self, item: object) -> None:
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
            if cell.family is not None:
                rest.extend(reversed(cell.family.children.values()))

    def withdraw(self, request: object) -> None:
        """Take back a request that was not taken yet."""
        if self.control:
            self.control = deque(item for item in self.control if item is not request)
        self.mailbox.remove(request)
        if self.stashes is not None or self.again is not None:
            take_out(self, request)

    def holds(self, request: object) -> bool:
        """Whether the request is in work, or waits to be."""
        if self.current is request or self.mailbox.holds(request):
            return True
        return any(item is request for item in (*(self.control or ()), *(entry.message for entry in kept_by(self))))

    def skip(self, request: object) -> None:
        """Cancel the handling of a request nobody waits for; the actor goes on with its next message."""
        if self.current is request and self.up and not (self.leaving or self.killed):
            self.skipping = True
            self.mailbox.interrupt = True
            self.scope.cancel()

    # Waiting

    def when_started(self, act: Callable[[], None]) -> None:
        """Call `act` when this start is over, well or not; `start_error` tells. At once when it is over already."""
        if self.up:
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
        if self.dead is None:  # one for all who wait: those who give up leave nothing behind
            self.dead = trio.Event()
            self.when_dead(self.dead.set)
        await self.dead.wait()
        return self.exit or NORMAL

    def _call_waiters(self, name: str) -> None:
        waiters = getattr(self, name)
        setattr(self, name, None)
        for waiter in waiters or ():
            waiter()
