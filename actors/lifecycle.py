"""The state machine of a child, as one table.

1. A pair that is not in `TRANSITIONS` raises `InvalidTransition`.
2. Backing off is a state like any other: a child in it can be stopped, and shows in the tree.
3. `STOPPED` between two incarnations and `STOPPED` forever are the same state; the supervisor decides which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from attrs import define


class State(Enum):
    """The state of a child."""

    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Step(Enum):
    """An event in the life of a child."""

    START = "start"
    """A new incarnation begins."""
    STARTED = "started"
    """Its start hook returned."""
    END = "end"
    """It was ordered to end, or ends by itself: it stopped itself, crashed, or its start failed or was declined."""
    ENDED = "ended"
    """Its task is over."""
    WAIT = "wait"
    """Its next incarnation has to wait for a delay."""


class StopMode(Enum):
    """How much work an actor may finish after an order to stop."""

    NOW = "now"
    """None: the current message is cancelled. The stop hook still runs, within the grace."""
    AFTER_MESSAGE = "after_message"
    """The current message, within the grace."""
    AFTER_DRAIN = "after_drain"
    """All messages queued at the order, within the grace, also after a failure for which the actor is restarted. Later
    ones are refused."""


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
"""The transition table: (state, step) -> next state."""


@define
class InvalidTransition(LookupError):
    """The step is invalid in this state of a child, a circuit or a job: a bug of this package, not of its user."""

    state: Enum
    step: Enum

    def __str__(self) -> str:
        return f"{self.step.value} cannot happen while {self.state.value}"


def next_state(state: State, step: Step) -> State:
    """Return the state after `step`. Raises `InvalidTransition` if the pair is not in the table."""
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise InvalidTransition(state, step) from None
