"""The requests that a conversation sends itself, and the effects that its core asks for. Plain data.

A core's answer to a request is a generator of effects. The conversation actor performs each, and sends its result back.
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from attrs import evolve, frozen

from actors import ActorRef, Ask, Lane
from transport.wire.events import CallSettled, Envelope, FeedbackGiven
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.messages import RateAnswer, RunRequest
from understudy.chat.run.replay import Replay
from understudy.storage.changes import Change
from understudy.storage.records import RunRecord, StepRecord
from understudy.tools.tool import Tool

if TYPE_CHECKING:
    from understudy.chat.conversation.undo import UndoWalk
    from understudy.storage.store import Store


T = TypeVar("T")

Steps: TypeAlias = Generator[Any, Any, T]
"""A generator of effects that is sent their results; T is what it returns."""


@frozen
class RetryFinish:
    """To a conversation: store the ends of runs that could not be stored before."""


@frozen
class BackoffOver:
    """To a conversation: the run at the front of the queue has backed off long enough before its next attempt."""

    run_id: str


@frozen
class PublishPositions:
    """To a conversation: send every queued run its position again."""


@frozen
class ResumeEffects:
    """To a core: an undo of this run, or the settling of its calls, lost its server; go on. `steps` are the run's."""

    run: RunRecord
    steps: Sequence[StepRecord]


@frozen
class UndoEnded:
    """To a core: the attempt to undo the next call of a run has ended; `sentence` says why it failed, or is empty."""

    run_id: str
    sentence: str


@frozen
class Settled:
    """To a core: it is known whether a call of an ended run took effect; `steps` record its result."""

    template: Envelope
    event: CallSettled
    steps: Sequence[StepRecord]


@frozen
class RetryUndo:
    """To a conversation: go on with an undo whose progress could not be stored before."""

    run_id: str


@frozen
class RunExited:
    """To a core: the actor of a run has ended; `crash` is the error if it crashed."""

    run_id: str
    reason: str
    crash: BaseException | None = None


@frozen
class ResumeExited:
    """To a conversation: resume a run whose actor died, and which could not be read before."""

    died: RunExited
    error_id: str


# effects


@frozen
class Query:
    """Await a call of the store; what it returns is the result."""

    call: "Callable[[Store], Awaitable[Any]]"


@frozen
class Commit:
    """Commit a change. If it takes long, subscribers are notified that `run` waits."""

    change: Change
    run: ActiveRun | None = None

    @property
    def run_id(self) -> str | None:
        """The id of the run that the change is about; None for one of the thread."""
        change = self.change
        if change.events:
            return change.events[-1].run_id
        return (
            change.attempt.run_id if change.attempt is not None else next((step.run_id for step in change.steps), None)
        )


@frozen
class PublishEvents:
    """Send committed events to every subscriber; `arrived_at` is when the message came that they accept."""

    envelopes: Sequence[Envelope]
    arrived_at: float | None = None


@frozen
class Send:
    """Send an event that is not logged to every subscriber, or to `outbox` alone, as a `reply` or not.

    `alert`: to all connections of the user, ahead of their queues.
    """

    envelope: Envelope
    outbox: ActorRef | None = None
    reply: bool = False
    alert: bool = False


@frozen
class SendFeedback:
    """Count a rating, and send its event to every subscriber and to the sender of the rating."""

    event: FeedbackGiven
    ask: RateAnswer


@frozen
class Subscribe:
    """Subscribe an outbox: from its own cursor, from `after`, or from `accepted`, which it is sent again.

    `resend`: `accepted` is sent also if the client was sent it before. `unasked`: its client has not named the thread.
    """

    outbox: ActorRef | None
    after: int | None = None
    accepted: Envelope | None = None
    resend: bool = True
    unasked: bool = False


@frozen
class ReadRun:
    """Read an unfinished run from the log, after the checkpoint that is being stored; None if it has ended there."""

    run_id: str


@frozen
class StartRun:
    """Start the actor of a run; with `replay` it resumes."""

    request: RunRequest
    replay: Replay | None


@frozen
class SettleCall:
    """Ask the tool of a call of an ended run, beside other work, whether the call took effect.

    `step` is that of the call: its status says so until the answer is stored, its result has agent and attempts.
    """

    template: Envelope
    step: StepRecord
    tool: Tool

    def with_attempts(self, more: int) -> "SettleCall":
        """Return it with so many more attempts."""
        kept = self.step.result
        return evolve(self, step=evolve(self.step, result=kept | {"attempts": kept["attempts"] + more}))


@frozen
class StartUndo:
    """Start the actor that undoes the next call of this undo with the tool's `undo`."""

    undo: "UndoWalk"
    tool: Tool


@frozen
class MakeTitle:
    """Ask the model of a run's agent for the thread's title, beside other work: the run has ended with an answer."""

    request: RunRequest


@frozen
class TellRun:
    """Send the actor of a run a message. `lane` HIGH: ahead of the messages that wait in its mailbox."""

    run_id: str
    message: object
    lane: Lane = Lane.NORMAL


@frozen
class StopRun:
    """Stop the actor of a run now, and wait until it has stopped."""

    run_id: str


@frozen
class AnswerRequest:
    """Reply to a request with `value`, or fail it with `error`."""

    ask: Ask[Any]
    value: Any = None
    error: Exception | None = None


@frozen
class StartTimer:
    """Have `message` sent to the conversation after `after_s` seconds; it replaces a timer of the same name."""

    name: str
    after_s: float
    message: object


@frozen
class CountResumed:
    """Count a run that had lost its server, by what became of it."""

    outcome: str


@frozen
class Relocate:
    """End the conversation: its subscribers go on with the next one. `why` None: another node owns the thread."""

    why: str | None = None


@frozen
class ForgetThread:
    """The thread is deleted: drop all data of it in this process, unsubscribe all, and end the conversation."""
