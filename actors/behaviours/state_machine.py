"""A state machine with one function for each state (OTP's gen_statem).

1. A change takes effect once the current event is handled: the state timeout ends, postponed events are redelivered,
   and the new state is entered.
2. Postponed events are redelivered in their original order, one by one, after timers and before every other message.
3. An inserted event is part of the message it follows: it comes before all others, and is dropped if that message fails
   or is cancelled because its caller leaves.
4. An event timeout ends with the next event of any type; a state timeout is never received in another state.
5. A new incarnation begins in the initial state. It gets the postponed events first, except those that the machine
   inserted itself.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Any, ClassVar, TypeVar

from attrs import define, field, frozen

from actors.actor import Actor, Context, Receive
from actors.errors import ActorError, InvalidSpec
from actors.stash import STASH_CAPACITY, Stash

F = TypeVar("F", bound=Callable[..., Any])
_ENTRY = "__actor_on_entry__"

Transitions = Mapping[str, Collection[str]]
"""For each state, by name, the states it may change to; itself only if it may be entered again."""


@frozen
class Entered:
    """The state became current; `previous` is the name of the one before, None at the start."""

    previous: str | None


@frozen
class StateTimeout:
    """The state was not left within its `StateMachine.state_timeout`, to which `content` was passed."""

    content: Any = field(default=None, repr=False)


@frozen
class EventTimeout:
    """No event came within the `StateMachine.event_timeout`, to which `content` was passed."""

    content: Any = field(default=None, repr=False)


@define
class TransitionRefused(ActorError, LookupError):
    """The machine's `transitions` do not lead from `state` to `target`. The machine is still in `state`."""

    state: str
    target: str

    def __str__(self) -> str:
        return f"no transition leads from {self.state} to {self.target}"


@define
class OutsideHandler(ActorError, RuntimeError):
    """A method for a state that handles an event was called elsewhere: on entry, or in another task."""

    verb: str

    def __str__(self) -> str:
        return f"{self.verb} is for a state that handles an event"


def on_entry(state: F) -> F:
    """Mark a state, a function or a class of state objects, to receive `Entered` when it becomes current.

    While handling it, the state may not call `become` or `postpone`.
    """
    setattr(state, _ENTRY, True)
    return state


def wants_entry(state: Receive) -> bool:
    """Whether the state is marked with `on_entry`."""
    return bool(getattr(state, _ENTRY, False))


def state_name(state: Receive) -> str:
    """Return the name of a state: its function's, an object's `name`, or that of its class."""
    for attribute in ("__name__", "name"):
        name = getattr(state, attribute, None)
        if isinstance(name, str):
            return name
    return type(state).__name__


def check_table(transitions: Transitions) -> None:
    """Raise `InvalidSpec` for a table that leads to a state it has no row for."""
    for state, targets in transitions.items():
        missing = [targets] if isinstance(targets, str) else sorted(set(targets) - set(transitions))
        if missing:
            raise InvalidSpec("transitions", f"{state} leads to {missing[0]!r}, which has no row of its own")


def check_transition(transitions: Transitions, state: str, target: str) -> None:
    """Raise `TransitionRefused` unless the table leads from one to the other."""
    if target not in transitions.get(state, ()):
        raise TransitionRefused(state, target)


class _Phase(Enum):
    """The code of the machine that runs: it decides which methods may be called."""

    NOTHING = "nothing"
    START = "start"
    EVENT = "event"
    ENTRY = "entry"


class StateMachine(Actor):
    """States are methods, functions or objects, called as `await state(event, context)`; `initial` says the first.

    Pass unknown events to `context.unhandled`. For named timeouts that outlast changes of state use
    `Context.set_timer`. A class whose table has a gap raises `InvalidSpec` when it is defined.
    """

    transitions: ClassVar[Transitions | None] = None
    """The names of the states each state may change to; None allows all."""
    postponed_capacity: ClassVar[int] = STASH_CAPACITY
    """Most events postponed at a time; `postpone` raises `StashFull` beyond it."""

    postponed: Stash
    """The events that wait for another state."""
    _state: Receive | None = None
    _next: Receive | None = None
    _phase: _Phase = _Phase.NOTHING
    _postponing: bool = False
    _silence: EventTimeout | None = None
    _inserted: deque[object]
    _timeouts: dict[type, tuple[float, StateTimeout | EventTimeout]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.transitions is not None:
            check_table(cls.transitions)

    async def initial(self, context: Context) -> Receive:
        """Runs at the start, in place of `on_start`: return the first state."""
        raise NotImplementedError(f"{type(self).__name__} has no initial state: override `initial`")

    @property
    def state(self) -> str:
        """The name of the current state; empty before the first."""
        return "" if self._state is None else state_name(self._state)

    def report_state(self) -> object:
        """Return the name of the state and the attributes' types."""
        return {"state": self.state, "attributes": super().report_state()}

    # What a state may do

    def become(self, state: Receive, *, reenter: bool = False) -> None:
        """Change to this state once the current event is handled; the last call counts.

        The same state is no change, unless `reenter` is true. Raises `TransitionRefused`, and `OutsideHandler` unless
        an event is being handled.
        """
        self._check_phase("become", _Phase.EVENT)
        if state == self._state and not reenter:
            self._next = None
            return
        if self.transitions is not None:
            check_transition(self.transitions, self.state, state_name(state))
        self._next = state

    def postpone(self) -> None:
        """Redeliver the current event after the next change of state.

        Raises `StashFull` if `postponed_capacity` events wait, and `OutsideHandler` unless an event is being handled.
        """
        self._check_phase("postpone", _Phase.EVENT)
        self.postponed.check_room()
        self._postponing = True

    def next_event(self, event: object) -> None:
        """Insert an event of the machine's own before all others; several are handled in order."""
        self._check_phase("next_event", *_ACTIVE)
        self._inserted.append(event)

    def state_timeout(self, delay_s: float, content: object = None) -> None:
        """Receive `StateTimeout(content)` after `delay_s` seconds in the state that is current after this event.

        Replaces the previous timeout; an infinite delay cancels it.
        """
        self._check_phase("state_timeout", *_ACTIVE)
        self._timeouts[StateTimeout] = (delay_s, StateTimeout(content))

    def event_timeout(self, delay_s: float, content: object = None) -> None:
        """Receive `EventTimeout(content)` after `delay_s` seconds without any event, from the end of this one on."""
        self._check_phase("event_timeout", *_ACTIVE)
        self._timeouts[EventTimeout] = (delay_s, EventTimeout(content))

    def _check_phase(self, verb: str, *phases: _Phase) -> None:
        if self._phase not in phases:
            raise OutsideHandler(verb)

    # What the machine does

    async def on_start(self, context: Context) -> None:
        """Enter the initial state. Override `initial` instead."""
        self.postponed = Stash(context, self.postponed_capacity)
        self._inserted = deque()
        self._timeouts = {}
        self._phase = _Phase.START
        first = await self.initial(context)
        self._phase = _Phase.NOTHING
        if self.transitions is not None and state_name(first) not in self.transitions:
            raise InvalidSpec("transitions", f"has no row for {state_name(first)}, the initial state")
        await self._enter(first, None, context)
        await self._handle_inserted(context)

    async def receive(self, message: object, context: Context) -> None:
        """Hand the message to the current state as an event, then handle the events it inserts."""
        if self._silence is not None and message is self._silence and self._events_wait(context):
            return
        self._inserted = deque()
        await self._handle(message, context)
        await self._handle_inserted(context)

    async def _handle_inserted(self, context: Context) -> None:
        while self._inserted:
            event = self._inserted.popleft()
            later, self._inserted = self._inserted, deque()
            await self._handle(event, context, lasting=False)
            self._inserted.extend(later)

    async def _handle(self, event: object, context: Context, *, lasting: bool = True) -> None:
        """Let the current state handle one event, and perform the change of state it asked for."""
        if self._state is None:  # `on_start` was overridden
            raise OutsideHandler("receive")
        if self._silence is not None:
            context.cancel_timer(EventTimeout)
            self._silence = None
        self._timeouts.clear()
        self._next, self._postponing = None, False
        await self._run(self._state, event, context, _Phase.EVENT)
        if self._postponing:
            self.postponed.stash(event, lasting=lasting)
        if self._next is None:
            self._set_timeouts(context)
        else:
            context.cancel_timer(StateTimeout)
            self.postponed.unstash_all()
            await self._enter(self._next, self.state, context)

    async def _enter(self, state: Receive, previous: str | None, context: Context) -> None:
        self._state = state
        try:
            if wants_entry(state):
                await self._run(state, Entered(previous), context, _Phase.ENTRY)
        finally:
            self._set_timeouts(context)

    async def _run(self, state: Receive, event: object, context: Context, phase: _Phase) -> None:
        self._phase = phase
        try:
            await state(event, context)
        finally:
            self._phase = _Phase.NOTHING

    def _set_timeouts(self, context: Context) -> None:
        for kind, (delay_s, event) in self._timeouts.items():
            if delay_s == math.inf:
                context.cancel_timer(kind)
                continue
            context.set_timer(kind, delay_s, event)
            if isinstance(event, EventTimeout):
                self._silence = event
        self._timeouts.clear()

    def _events_wait(self, context: Context) -> bool:
        """Whether events wait that go before an event timeout, and end it."""
        return self.postponed.returning > 0 or any(lane.depth for lane in context.ref.statistics().values())


_ACTIVE = (_Phase.START, _Phase.EVENT, _Phase.ENTRY)
