"""The life of an actor as one table: its states, the steps possible in each, and a supervisor's decisions at an end.

1. A step that `TRANSITIONS` does not have in a state raises `InvalidTransition`.
2. Backing off is a state like any other: an actor in it can be stopped, and shows in the tree.
3. After each end the actor is `STOPPED`. Its supervisor then starts it again, lets it wait, or buries it: that is the
   last step. A tree shows a dead child of the supervisor's own spec as stopped: `RestartChild` starts another.
4. `life` has the code of each step, in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from attrs import define


class State(Enum):
    """The state of an actor."""

    STOPPED = "stopped"
    """No incarnation runs: none has started yet, or the last one has ended and the supervisor decides."""
    STARTING = "starting"
    """The factory, the lifespan and the start hook run. Messages wait in the mailbox."""
    RUNNING = "running"
    """Messages are handled."""
    STOPPING = "stopping"
    """The last message and the stop hook run, and the children end."""
    BACKING_OFF = "backing_off"
    """The next incarnation waits for its delay. Messages wait in the mailbox."""
    GONE = "gone"
    """The actor has ended for good. Messages to it become dead letters."""


class Step(Enum):
    """An event in the life of an actor."""

    START = "start"
    """A new incarnation begins."""
    STARTED = "started"
    """The start hook returned."""
    END = "end"
    """The actor was ordered to end, or ends by itself: it stopped itself or crashed, or its start failed."""
    ENDED = "ended"
    """The task of the incarnation is over."""
    WAIT = "wait"
    """The next incarnation has to wait for a delay."""
    BURY = "bury"
    """The actor gets no other incarnation."""


class Decision(Enum):
    """The decision of a supervisor about a child that ended; part of the crash report."""

    RESTART = "restart"
    BACK_OFF = "back_off"
    RESUME = "resume"
    STOP = "stop"
    ESCALATE = "escalate"


class StopMode(Enum):
    """The work that an actor may finish after an order to stop."""

    NOW = "now"
    """None: the current message is cancelled. The stop hook still runs, within the grace."""
    AFTER_MESSAGE = "after_message"
    """The current message, within the grace."""
    AFTER_DRAIN = "after_drain"
    """All messages queued at the order, within the grace, also after a failure for which the actor is restarted. Later
    ones are refused."""


TRANSITIONS: Mapping[State, Mapping[Step, State]] = MappingProxyType(
    {
        State.STOPPED: {
            Step.START: State.STARTING,
            Step.WAIT: State.BACKING_OFF,
            Step.END: State.STOPPED,
            Step.BURY: State.GONE,
        },
        State.STARTING: {Step.STARTED: State.RUNNING, Step.END: State.STOPPING},
        State.RUNNING: {Step.END: State.STOPPING},
        State.STOPPING: {Step.END: State.STOPPING, Step.ENDED: State.STOPPED},
        State.BACKING_OFF: {Step.START: State.STARTING, Step.END: State.STOPPED},
        State.GONE: {},
    }
)
"""The life of an actor: for each state, the steps that may happen in it, and the state after each."""


@define
class InvalidTransition(LookupError):
    """The step is invalid in this state of a child, a circuit or a job: a bug of this package, not of its user."""

    state: Enum
    step: Enum

    def __str__(self) -> str:
        return f"{self.step.value} cannot happen while {self.state.value}"


def next_state(state: State, step: Step) -> State:
    """Return the state after `step`. Raises `InvalidTransition` if the step may not happen in this state."""
    try:
        return TRANSITIONS[state][step]
    except KeyError:
        raise InvalidTransition(state, step) from None
