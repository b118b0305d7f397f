"""The place of one actor in the tree: what lasts while its incarnations come and go.

1. `step` is the only way the state changes.
2. Everything here is synchronous but the two waits. The state of one life, and the code that runs it, are in
   `incarnation`.
3. `finish_incarnation` is the last act of an incarnation's task: no code of the user runs there after it.
4. A cell is buried once. In this order its name is freed, its mailbox closed, and its callers and watchers notified.
5. An actor without a start hook and without children has started when its task is created, so its parent never waits.
6. What a buried cell refers to does not refer back to it, but for the error of a crash. So it is freed with the last
   reference to the actor: there are a few for each message of a server, and the garbage collector would come late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType

import trio

from . import dead_letters
from .actor import Actor, Context
from .ask import Ask
from .context_propagation import ContextPropagator
from .errors import InvalidActor, InvalidSpec, StartDeclined, StartFailed, text_of
from .events import ActorStarted, ActorStopped
from .exit_reasons import NORMAL, Crashed, Exit
from .incarnation import Incarnation, fail_start, run, run_in_lifespan, run_with_children
from .lifecycle import State, Step, next_state
from .mailbox import Mailbox, MailboxSpec
from .ref import ActorRef
from .spec import ChildSpec, Restart, Supervision
from .stash import bury_entries, carry_over, discard, entries_of
from .watch import notify_restart, notify_watchers, unwatch_all

if TYPE_CHECKING:
    from .ask import Call
    from .children import Children
    from .incidents import Incident
    from .stash import RedeliveryQueue
    from .system import ActorSystem
    from .timers import Timer
    from .watch import Watch


DEFAULT_MAILBOX = MailboxSpec()
Waiters = list[Callable[[], None]] | None
"""Functions to call once when something happens; None if there are none."""
_mark_taken = vars(Actor)["_taken"].__set__  # the slot itself: an actor may be a frozen class


class Cell:
    """One actor as the runtime sees it, through all its restarts."""

    __slots__ = (
        "_ref", "buried", "calls", "children", "control", "dead_event", "dead_waiters", "down_waiters",
        "ever_started", "exit", "failures_in_row", "host", "in_group_restart", "incarnation", "incarnations",
        "incidents", "kind", "last_error", "mailbox", "path", "redeliveries", "restart_timer", "restarts", "since",
        "spec", "start_error", "start_waiters", "state", "static", "system", "watchers",
    )  # fmt: skip

    incarnation: Incarnation
    """The incarnation that runs, or the unused one that will start next."""
    incarnations: int
    """The number of incarnations started so far, and so the number of the latest."""
    restarts: int
    failures_in_row: int
    """Failures in a row, as the backoff counts them."""
    since: float
    """When the latest incarnation started, or the wait for the next one began, on trio's clock."""
    ever_started: bool
    buried: bool
    """True once the actor has ended for good."""
    children: Children | None
    """The children of the incarnation that runs; None if none runs, or if it cannot have children."""
    static: bool
    """True if the child belongs to the supervisor's own spec."""
    in_group_restart: bool
    """True while a group restart is stopping this child or is about to start it again."""
    exit: Exit | None
    last_error: str | None
    incidents: deque[Incident] | None
    control: deque[Any] | None
    """Timers, requests to a supervisor and urgent notices: served before all lanes, never refused."""
    redeliveries: RedeliveryQueue | None
    """Messages to handle before the mailbox: unstashed ones, and ones that an incarnation crashed on."""
    calls: dict[Call, None] | None
    watchers: dict[Cell, Watch] | None
    start_waiters: Waiters
    down_waiters: Waiters
    dead_waiters: Waiters
    dead_event: trio.Event | None
    start_error: StartFailed | None
    restart_timer: Timer | None

    def __init__(
        self, system: ActorSystem, host: Children | ActorSystem, spec: ChildSpec, *, static: bool = False
    ) -> None:
        self.system: ActorSystem = system
        self.host: Children | ActorSystem = host
        """The children of the parent, or the system for the root: decides what follows an incarnation's end."""
        self.spec: ChildSpec = spec
        self.static = static
        self.path: str = f"{host.owner.path if host.owner else ''}/{spec.id}"
        self.mailbox: Mailbox = Mailbox(DEFAULT_MAILBOX, ContextPropagator(system.carry) if system.carry else None)
        self._ref: ActorRef | ReferenceType[ActorRef] = ActorRef(self)
        self.state: State = State.STOPPED
        self.kind: type[Actor] = Actor
        self.incarnation = Incarnation(self)
        self.incarnations = self.restarts = self.failures_in_row = 0
        self.since = system.timers.now()
        self.ever_started = self.buried = self.in_group_restart = False
        self.exit = self.last_error = self.incidents = self.redeliveries = self.calls = self.watchers = None
        self.start_waiters = self.down_waiters = self.dead_waiters = self.dead_event = None
        self.start_error = self.restart_timer = self.control = self.children = None

    @property
    def ref(self) -> ActorRef:
        """The reference to the actor: always the same, as long as anybody has it."""
        if isinstance(self._ref, ActorRef):
            return self._ref
        if (known := self._ref()) is None:
            known = ActorRef(self)
            self._ref = ReferenceType(known)
        return known

    def step(self, step: Step) -> None:
        """Change to the next state, and report it to the streams of the tree."""
        before, self.state = self.state, next_state(self.state, step)
        if self.system.streams and self.state is not before:
            self.system.changed(self)

    # Beginning

    def start_incarnation(self) -> None:
        """Start the next incarnation in the host's nursery."""
        if self.incarnations:
            self._renew_incarnation()
        self.incarnations += 1
        self.step(Step.START)
        self.restart_timer = None
        self.start_error = None
        if self.mailbox.propagator is not None:
            self.mailbox.propagator.reset()
        life = self.incarnation
        life.scope = trio.CancelScope()
        context = life.context = Context(self)
        nursery, start_soon = self.host.nursery, self.system.start_soon
        try:
            actor = life.actor = self._make_actor()
        except BaseException as error:
            start_soon(nursery, self.path, fail_start, life, error)
            return
        kind = self.kind
        plain = kind.lifespan is Actor.lifespan
        runner = run if plain else run_in_lifespan
        if actor.supervision is not None:
            start_soon(nursery, self.path, run_with_children, runner, actor.supervision, life, actor, context)
            return
        start_soon(nursery, self.path, runner, life, actor, context)
        if plain and kind.on_start is Actor.on_start:
            self.mark_started()

    def _renew_incarnation(self) -> None:
        """Replace the incarnation that has ended by an unused one.

        Of the control queue, only requests whose callers still wait are kept for it.
        """
        self.incarnation = Incarnation(self)
        if self.buried:
            del self.incarnation.cell  # it never runs; see invariant 6
        self.children = None
        self.mailbox.barriers = None
        if self.control:
            self.control = deque(item for item in self.control if isinstance(item, Ask) and item.waiting) or None

    def _make_actor(self) -> Actor:
        actor = self.spec.factory()
        if not isinstance(actor, Actor):
            raise TypeError(f"the factory of {self.path} made a {type(actor).__name__}, not an Actor")
        if getattr(actor, "_taken", False):
            again = "as in `ChildSpec(id, lambda: Kind(...))`"
            used = f"the factory of {self.path} returned an actor that was used before; make a new one each time"
            raise InvalidActor(type(actor).__name__, f"{used}, {again}")
        _mark_taken(actor, True)
        if not isinstance(actor.mailbox, MailboxSpec):
            raise InvalidSpec("mailbox", f"must be a MailboxSpec, not {actor.mailbox!r}")
        if actor.supervision is not None and not isinstance(actor.supervision, Supervision):
            raise InvalidSpec("supervision", f"must be a Supervision or None, not {actor.supervision!r}")
        self.kind = type(actor)
        if self.spec.restart is Restart.TEMPORARY:
            self.spec = self.spec.without_factory()  # there is no second incarnation
        if actor.mailbox is not self.mailbox.spec and not self.mailbox.closed:
            self.mailbox.configure(actor.mailbox)
        return actor

    def mark_started(self) -> None:
        """Enter `RUNNING` after the start hook returned; do nothing if the actor was ordered to stop meanwhile."""
        if self.state is not State.STARTING:
            return
        self.step(Step.STARTED)
        self.incarnation.started = self.ever_started = True
        self.since = self.system.timers.now()
        if self.system.has_listeners():
            self.system.emit(ActorStarted(self.path, self.incarnations))
        waiting, self.start_waiters = self.start_waiters, None
        for waiter in waiting or ():
            waiter()
        if self.watchers and self.incarnations > 1:
            notify_restart(self)
        if self.incarnation.stop_mode is not None:
            self.step(Step.END)

    def restart_after(self, delay_s: float) -> None:
        """Start the next incarnation after a delay, or at once if it is zero."""
        if delay_s > 0:
            self.back_off()
            self.restart_timer = self.system.timers.after(delay_s, self.start_incarnation)
        else:
            self.start_incarnation()

    def back_off(self) -> None:
        """Enter `BACKING_OFF`; the caller measures the delay."""
        self.since = self.system.timers.now()
        self.step(Step.WAIT)

    def next_delay(self) -> float:
        """Count one more failure in a row. Return the delay before the next incarnation in seconds."""
        backoff = self.spec.backoff
        if backoff is None:
            return 0.0
        if self.incarnation.started and backoff.forgets(self.system.timers.now() - self.since):
            self.failures_in_row = 0
        self.failures_in_row += 1
        return backoff.delay(self.failures_in_row - 1, self.system.random.random())

    # Ending

    def finish_incarnation(self) -> None:
        """Release what the incarnation held, and let the host decide what comes next."""
        life = self.incarnation
        reason = self.exit = life.exit_reason()
        self.step(Step.ENDED)
        if isinstance(reason, Crashed):
            self.last_error = self.system.redacted(text_of(reason.error))
        if life.grace_timer is not None:
            life.grace_timer.cancel()
        for timer in tuple(life.timers.values()) if life.timers else ():
            timer.entry.cancel()
        if life.watching:
            unwatch_all(life)
        if life.stashes is not None:
            carry_over(self)
        if self.calls:
            dead_letters.fail_calls_in_work(self, reason)
        if self.spec.redeliver and reason.abnormal:
            dead_letters.redeliver_crashed(self, reason)
        if self.redeliveries is not None:
            self.redeliveries.current = None
        waiting: list[Callable[[], None]] = []
        if not life.started:
            self.start_error = (StartDeclined if life.declined else StartFailed)(self.path, life.failure)
            if life.no_restart or not self.in_group_restart:  # else the group starts it again, and its starter waits on
                waiting, self.start_waiters = self.start_waiters or waiting, None
        if self.down_waiters is not None:
            waiting, self.down_waiters = [*waiting, *self.down_waiters], None
        self.host.child_ended(self, reason)
        if not self.buried and self.state in (State.STOPPED, State.BACKING_OFF):
            self._renew_incarnation()
        for waiter in waiting:
            waiter()

    def bury(self, reason: Exit) -> None:
        """End the actor for good. The host has freed its name already."""
        self.buried = True
        self.exit = reason
        if self.redeliveries is not None:
            bury_entries(self)
        self.control = None
        self.mailbox.close(partial(dead_letters.bury_message, self))
        if self.calls:
            dead_letters.fail_calls(self, self.calls, reason)
        if reason.abnormal or self.system.streams:
            self.system.ended(self, reason)
        if self.system.has_listeners():
            self.system.emit(ActorStopped(self.path, reason, self.incarnation.message_type))
        waiting = [*(self.start_waiters or ()), *(self.dead_waiters or ())]
        self.start_waiters = self.dead_waiters = None
        for waiter in waiting:
            waiter()
        if self.watchers:
            notify_watchers(self, reason)
        self._ref = ReferenceType(self.ref)
        self._renew_incarnation()

    # Messages

    def put_control(self, item: object) -> None:
        """Queue an item that is served before all lanes and never refused.

        While no incarnation runs, requests are kept for the next one; timers and urgent notices are dropped, since they
        belong to the incarnation that has ended.
        """
        if self.state in (State.STOPPED, State.BACKING_OFF) and not isinstance(item, Ask):
            return
        if self.control is None:
            self.control = deque()
        self.control.append(item)
        self.mailbox.interrupt = True
        self.mailbox.wake()

    def walk(self) -> Iterator[Cell]:
        """Iterate over this cell and all below, parents first. No recursion: a tree may be deeper than the stack."""
        rest = [self]
        while rest:
            cell = rest.pop()
            yield cell
            if cell.children is not None:
                rest.extend(reversed(cell.children.by_id.values()))

    def has_work(self) -> bool:
        """Whether a message waits, or a request that outlives an incarnation."""
        asked = any(isinstance(item, Ask) for item in self.control or ())
        return asked or bool(self.redeliveries) or self.mailbox.has_messages()

    def withdraw(self, request: object) -> None:
        """Take back a request that the actor has not taken yet."""
        if self.control:
            self.control = deque(item for item in self.control if item is not request)
        self.mailbox.remove(request)
        if self.incarnation.stashes is not None or self.redeliveries is not None:
            discard(self, request)

    def holds(self, request: object) -> bool:
        """Whether the request is being handled, or waits to be."""
        if self.incarnation.current is request or self.mailbox.holds(request):
            return True
        return any(item is request for item in (*(self.control or ()), *(entry.message for entry in entries_of(self))))

    # Waiting

    def when_started(self, act: Callable[[], None]) -> None:
        """Call `act` when this start is over, at once if it is already. `start_error` says whether it failed."""
        if self.incarnation.started:
            act()
        else:
            waiters = self.start_waiters = self.start_waiters or []
            waiters.append(act)

    def when_dead(self, act: Callable[[], None]) -> None:
        """Call `act` when the actor is buried, at once if it is already."""
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
        """Wait until the actor is buried. Return its exit."""
        if self.dead_event is None:  # shared by all waiting tasks: a cancelled wait leaves nothing behind
            self.dead_event = trio.Event()
            self.when_dead(self.dead_event.set)
        await self.dead_event.wait()
        return self.exit or NORMAL
