"""The messages that a conversation sends itself."""

from collections.abc import Sequence

from attrs import frozen

from understudy.storage.records import StepRecord
from understudy.wire.events import CallSettled, Envelope


@frozen
class CheckIdle:
    """Stop if the conversation is idle."""


@frozen
class RetryFinish:
    """Store the ends of runs that could not be stored before."""


@frozen
class BackoffOver:
    """The run at the front of the queue has backed off long enough before its next attempt."""

    run_id: str


@frozen
class PublishPositions:
    """Send every queued run its position again."""


@frozen
class Settled:
    """Store whether a call of an ended run took effect, which could not be stored before; `steps` record its result."""

    template: Envelope
    event: CallSettled
    steps: Sequence[StepRecord]


@frozen
class RunExited:
    """The actor of a run has ended; `crash` is the error if it crashed."""

    run_id: str
    reason: str
    crash: BaseException | None = None


@frozen
class ResumeExited:
    """Resume a run whose actor died, and which could not be read before."""

    died: RunExited
    error_id: str
