"""The parts of a state machine besides its states: their names, the transition table, its own events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from attrs import define, field, frozen

from actors.actor import Receive
from actors.errors import ActorError, InvalidSpec

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
    """The state was not left within the `StateMachine.state_timeout`; `content` was given there."""

    content: Any = field(default=None, repr=False)


@frozen
class EventTimeout:
    """No event came within the `StateMachine.event_timeout`; `content` was given there."""

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
