"""The state machine of a job, its attempts and its result. No trio, no clock.

1. A pair that is not in `TRANSITIONS` raises `InvalidTransition`.
2. A job that has ended keeps its state: `end` returns False then.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Generic, TypeVar

from actors.lifecycle import InvalidTransition

T = TypeVar("T")


class JobState(Enum):
    """The state of a job."""

    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    """The job waits for its next attempt."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


class JobStep(Enum):
    """An event in the life of a job."""

    BEGIN = "begin"
    """An attempt begins."""
    RETRY = "retry"
    """The attempt failed, and another will follow."""
    GIVE_UP = "give_up"
    """The attempt failed, and no other will follow."""
    FINISH = "finish"
    """The attempt returned."""
    TIME_UP = "time_up"
    """The deadline over all attempts has passed."""
    CANCEL = "cancel"
    """The job's actor ends."""


TRANSITIONS: Mapping[tuple[JobState, JobStep], JobState] = MappingProxyType(
    {
        (JobState.PENDING, JobStep.BEGIN): JobState.RUNNING,
        (JobState.PENDING, JobStep.CANCEL): JobState.CANCELLED,
        (JobState.RUNNING, JobStep.RETRY): JobState.RETRYING,
        (JobState.RUNNING, JobStep.GIVE_UP): JobState.FAILED,
        (JobState.RUNNING, JobStep.FINISH): JobState.DONE,
        (JobState.RUNNING, JobStep.TIME_UP): JobState.TIMED_OUT,
        (JobState.RUNNING, JobStep.CANCEL): JobState.CANCELLED,
        (JobState.RETRYING, JobStep.BEGIN): JobState.RUNNING,
        (JobState.RETRYING, JobStep.TIME_UP): JobState.TIMED_OUT,
        (JobState.RETRYING, JobStep.CANCEL): JobState.CANCELLED,
    }
)
"""The transition table: (state, step) -> next state."""
ENDS: frozenset[JobState] = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.TIMED_OUT})
"""The final states."""


class JobLifecycle(Generic[T]):
    """The state, attempts and result of one job."""

    value: T

    def __init__(self) -> None:
        self.state: JobState = JobState.PENDING
        self.attempt: int = 0
        """The number of the attempt in work, or of the last one; 0 before the first."""
        self.causes: list[Exception] = []
        """The error of each failed attempt so far, in order."""

    @property
    def ended(self) -> bool:
        """Whether the job is in a final state."""
        return self.state in ENDS

    def begin(self) -> None:
        """Begin an attempt."""
        self._apply(JobStep.BEGIN)
        self.attempt += 1

    def fail(self, cause: Exception, *, again: bool) -> None:
        """Record that the attempt failed; `again`: another one follows."""
        self.causes.append(cause)
        self._apply(JobStep.RETRY if again else JobStep.GIVE_UP)

    def finish(self, value: T) -> None:
        """Record that the attempt succeeded."""
        self._apply(JobStep.FINISH)
        self.value = value

    def end(self, step: JobStep) -> bool:
        """End the job from outside, by `TIME_UP` or `CANCEL`. Return False if it has ended already."""
        if self.ended:
            return False
        self._apply(step)
        return True

    def _apply(self, step: JobStep) -> None:
        try:
            self.state = TRANSITIONS[self.state, step]
        except KeyError:
            raise InvalidTransition(self.state, step) from None
