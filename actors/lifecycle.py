"""The life of a child, as one table.

1. A pair that is not in `TRANSITIONS` is an error, never a shrug.
2. Backing off is a state like any other: it can be stopped, and it shows in the tree.
3. `STOPPED` between two incarnations and `STOPPED` for ever are the same state; who holds the spec decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from attrs import define


class State(Enum):
    """Where a child is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Step(Enum):
    """What can happen to a child."""

    START = "start"
    """A new incarnation begins."""
    STARTED = "started"
    """Its start hook returned."""
    END = "end"
    """It was told to end, or begins to end by itself: by a wish, a crash, a failed or declined start."""
    ENDED = "ended"
    """Its task is over."""
    WAIT = "wait"
    """Its next incarnation has to wait for a delay."""


class StopMode(Enum):
    """How much an actor may still do once it is told to stop."""

    NOW = "now"
    """Nothing: the message in work is cancelled. The stop hook still runs, within the grace."""
    AFTER_MESSAGE = "after_message"
    """The message in work is finished, within the grace."""
    AFTER_DRAIN = "after_drain"
    """Everything queued at the order is finished, within the grace. What comes later is refused."""


TRANSITIONS: Mapping[tuple[State, Step], State] = MappingProxyType(
    {
        (State.STOPPED, Step.START): State.STARTING,
        (State.STOPPED, Step.WAIT): State.BACKING_OFF,
        (State.STOPPED, Step.END): State.STOPPED,
        (State.BACKING_OFF, Step.START): State.STARTING,
        (State.BACKING_OFF, Step.END): State.STOPPED,
        (State.STARTING, Step.STARTED): State.RUNNING,
        (State.STARTING, Step.END): State.STOPPING,
        (State.RUNNING, Step.END): State.STOPPING,
        (State.STOPPING, Step.END): State.STOPPING,
        (State.STOPPING, Step.ENDED): State.STOPPED,
    }
)
"""The whole life: (state, step) -> next state."""


@define
class InvalidTransition(LookupError):
    """This step cannot happen in this state: a bug of the runtime, not of its user."""

    state: State
    step: Step

    def __str__(self) -> str:
        return f"{self.step.value} cannot happen while {self.state.value}"


def next_state(state: State, step: Step) -> State:
    """Return the state after `step`; raise `InvalidTransition` when the table does not know the pair."""
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise InvalidTransition(state, step) from None
