"""What the actors of a chat say to each other."""

from collections.abc import Sequence

from attrs import define, field, frozen

from actors import ActorRef, Ask
from sanitization import Finding, Sanitized
from transport.wire.commands import JsonObject, Say
from transport.wire.events import ApprovalDecision, Block, Event, SanitizationSummary
from understudy.chat.routing import Route
from understudy.chat.run.run_settings import RunSettings
from understudy.chat.run_protocol import Ending
from understudy.storage.rows import Message, StepRecord


@define(eq=False)
class Accept(Ask[str]):
    """To a conversation: take this message in. The answer is the id of its run.

    `clean` is its text without what must not be stored; `raw` the text as it was sent, sealed, where that is kept.
    `outbox` None: it came without a connection. `branch_of` is the message that this is an edit of: it then follows
    `say.parent_id`, also when that is None. `roles` are those of the token it was sent with. `beside` are the findings
    in its context, which was scrubbed too. `arrived_at` is when it came to this node (Unix seconds). Fails with
    `CommandRejected` (`busy`, `storage_unavailable`, `not_found`, `message_id_reused`) or `MessageInOtherThread`:
    nothing was stored then.
    """

    must_finish = True

    say: Say
    filtered: Sanitized = field(repr=False)
    route: Route
    run_id: str
    message_id: str
    outbox: ActorRef | None
    branch_of: str | None = None
    raw: bytes | None = field(default=None, repr=False)
    roles: tuple[str, ...] = ()
    context_findings: tuple[Finding, ...] = ()
    arrived_at: float | None = None


class MessageInOtherThread(LookupError):
    """A message names no thread, and came before in another one: `thread_id`."""

    def __init__(self, thread_id: str) -> None:
        super().__init__("the message came before in another thread")
        self.thread_id = thread_id


@define(eq=False)
class AnswerAgain(Ask[str]):
    """To a conversation: answer this message once more. The answer is the id of the run that does.

    The same `request_id` again is the same run. `arrived_at` is when the request came to this node.
    Fails as `Accept` does.
    """

    must_finish = True

    message: Message
    route: Route
    run_id: str
    request_id: str | None
    outbox: ActorRef | None
    roles: tuple[str, ...] = ()
    arrived_at: float | None = None


@define(eq=False)
class RateAnswer(Ask[None]):
    """To a conversation: keep what its user thinks of an answer, and tell the followers.

    Fails with `CommandRejected` (`not_found`) or `StorageUnavailable`.
    """

    must_finish = True

    answer: Message
    rating: str | None
    note: str | None = field(repr=False)
    outbox: ActorRef | None


@define(eq=False)
class WaitIdle(Ask[None]):
    """To a conversation: answered as soon as it has no run at work and none in line."""


@define(eq=False)
class FollowThread(Ask[None]):
    """To a conversation: send this outbox the thread's events after `after`, then every new one.

    Fails with `CommandRejected` (`not_found`) when the thread has no events.
    """

    must_finish = True

    outbox: ActorRef
    after: int


@define(eq=False)
class Record(Ask[None]):
    """To a conversation: commit these events and steps of a run, in order, then show them to the followers.

    `speaker` is the (agent_type, pillar) that the events come from. Fails with `StorageUnavailable`.
    """

    must_finish = True

    run_id: str
    events: Sequence[Event] = field(repr=False)
    speaker: tuple[str, str | None]
    steps: Sequence[StepRecord] = field(default=(), repr=False)


@define(eq=False)
class FinishRun(Ask[None]):
    """To a conversation: end this run as its arc demands; its work has stopped without an answer."""

    must_finish = True

    run_id: str
    ending: Ending
    sentence: str = ""
    error_id: str = ""
    retry_after_s: float | None = None


@define(eq=False)
class Delete(Ask[bool]):
    """To a conversation: end what runs, delete the thread, and end. Fails with `StorageUnavailable`.

    `unless_since`: only if nothing was said in it since that time (Unix seconds) and nothing runs; else the answer is
    False, and nothing has changed.
    """

    must_finish = True

    unless_since: float | None = None


@define(eq=False)
class CancelRun(Ask[bool]):
    """To a conversation: stop this run. The answer is False when it has ended already."""

    must_finish = True

    run_id: str


@define(eq=False)
class Decide(Ask[bool]):
    """To a conversation, and from there to the run: its user has decided about a call that waits.

    The answer, False when that call does not wait, comes when the decision is stored. Fails with `StorageUnavailable`.
    """

    call_id: str
    decision: ApprovalDecision
    note: str = field(default="", repr=False)


@frozen
class Delta:
    """To a conversation: the next piece of a run's answer, and the blocks it closed.

    `kept` is the piece as it is stored, where that is not how it is shown: with placeholders. `anew`: it is the first
    piece of an answer that takes the place of what was shown of it.
    """

    run_id: str
    text: str = field(repr=False)
    blocks: Sequence[Block] = field(default=(), repr=False)
    stored: str | None = field(default=None, repr=False)
    restart: bool = False


@frozen
class Checkpoint:
    """To a conversation: keep this step of a run, which is not finished; it need not be, and nobody waits for it."""

    run_id: str
    step: StepRecord = field(repr=False)


@frozen
class Progress:
    """To a conversation: a sign of life from a run."""

    run_id: str
    note: str
    done: float = 0.0
    total: float | None = None


@frozen
class RequestSnapshot:
    """To a conversation: this outbox has a hole in a running answer; send the text from its beginning."""

    outbox: ActorRef


@frozen
class PermitGranted:
    """To a conversation, or to a run that rested: the place the run waited for is free, and taken for it."""

    run_id: str


@frozen
class PositionChanged:
    """To a conversation, or to a run that rested: the run's place in line is another now."""

    run_id: str


@frozen
class EnsureRunning:
    """To a conversation: the store has this run as one without an end; see to it."""

    run_id: str


@frozen
class OwnershipLost:
    """To a conversation: this server may no longer have its thread; end, and store nothing any more."""


@frozen
class Stop:
    """To a run: end now; the user asked for it."""


@frozen
class RunRequest:
    """All that a run needs to begin: the message it answers and who is to answer it.

    `found` tells what was found in the message, None where there is nothing to tell of. `roles` are those of the token
    that asked: the run's tools have its rights. They are not stored, so a run that goes on after a crash has none.
    `context` and `settings` are those of the message; they are in the log.
    """

    run_id: str
    owner: str
    thread_id: str
    message_id: str
    content: str = field(repr=False)
    references: tuple[str, ...]
    agent: str
    findings_summary: SanitizationSummary | None = None
    roles: tuple[str, ...] = ()
    context: JsonObject = field(factory=dict, repr=False)
    settings: RunSettings = field(factory=RunSettings)
