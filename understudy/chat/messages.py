"""The messages between the actors of a chat."""

from typing import ClassVar, Final

from attrs import define, field, frozen

from actors import ActorRef, Ask
from transport.auth.identity import Identity
from transport.wire.commands import JsonObject
from transport.wire.events import Event
from understudy.chat.placement import RemoteNodes
from understudy.chat.routing import Route
from understudy.chat.run_state.endings import Ending
from understudy.storage.records import Message, StepRecord
from understudy.wire.commands import Say
from understudy.wire.events import Alert, ApprovalDecision, SanitizationSummary, Usage

FIRST_ATTEMPT: Final = "0.0"
"""The name of the first attempt at any run."""
AUTOMATIC: Final = "auto-"
"""Begins the ids of messages that nobody typed and for whose answer nobody waits, and of the threads made for them."""


@frozen
class Again:
    """How a stored `message` is answered once more.

    With `after_step` the run takes over the steps of the run `forks` up to that one; `continues`: it takes over all of
    them and the text of its answer.
    """

    message: Message
    forks: str | None = None
    after_step: int | None = None
    continues: bool = False


@frozen
class RunOrder:
    """What a run is to answer: a message as the content filter left it, or a stored one `again`.

    `say` has the id of the message, and the names that its client gave. `branch_of` is the message that this is an edit
    of, or a stored one: it then follows `say.parent_id`, also if that is None, and what it leaves out of context and
    settings is that of the earlier one. A repeated `request_id` of a stored one is the same run. `summary` and `alert`
    tell of what was found in the text, and in what came beside it.
    """

    say: Say
    route: Route
    sender: Identity
    branch_of: str | None = None
    request_id: str | None = None
    summary: SanitizationSummary | None = None
    alert: Alert | None = None
    again: Again | None = None


@define(eq=False)
class Accept(Ask[str]):
    """To a conversation: accept a message, or answer one again. The reply is the id of its run.

    `outbox` is None if it came without a connection. `arrived_at` is when it came to this node (Unix seconds).
    `earlier` are the ids of the runs that earlier attempts at this command gave: if one of these was accepted, the
    connection gets its events by its subscription, and no second acceptance. Fails with `CommandRejected` (`busy`,
    `storage_unavailable`, `not_found`, `message_id_reused`, `not_continuable`) or `MessageInOtherThread`; nothing was
    stored then.
    """

    must_finish = True

    order: RunOrder
    run_id: str
    outbox: ActorRef | None
    arrived_at: float | None = None
    earlier: tuple[str, ...] = ()


@frozen
class WidgetCall(Say):
    """A tool call that a user interface of the tool's server asks for, as a message: see `settings.widget`. The server
    makes it, with checked `settings`; no command of a client is parsed into one."""

    starts_work: ClassVar[bool] = False  # it has a rate of its own


@frozen
class Version(Say):
    """A message of a client that sends its history: an edit of the message `branch_of` on a new branch, if that is set.

    It follows `parent_id` then, also if that is None, and what it leaves out of `context` and `settings` is the earlier
    one's. `request_id` names the request, as that of `Regenerate`.
    """

    starts_work: ClassVar[bool] = False  # it has a rate of its own

    branch_of: str | None = None
    request_id: str | None = None


class MessageInOtherThread(LookupError):
    """A message names no thread, and was accepted before in another one: `thread_id`."""

    def __init__(self, thread_id: str) -> None:
        super().__init__("the message came before in another thread")
        self.thread_id = thread_id


@define(eq=False)
class RateAnswer(Ask[None]):
    """To a conversation: store the rating of an answer, and publish it.

    Fails with `CommandRejected` (`not_found`) or `StorageUnavailable`.
    """

    must_finish = True

    answer: Message
    rating: str | None
    note: str | None = field(repr=False)
    outbox: ActorRef | None


@define(eq=False)
class WaitIdle(Ask[None]):
    """To a conversation: reply as soon as it has no runs."""


@define(eq=False)
class FollowThread(Ask[None]):
    """To a conversation: subscribe this outbox to the thread's events after `after`.

    `unasked`: its client has not named the thread (see `transport.wire.messages.SubscribeThread`). Fails with
    `CommandRejected` (`not_found`) when the thread has no events.
    """

    must_finish = True

    outbox: ActorRef
    after: int
    unasked: bool = False


@define(eq=False)
class FinishRun:
    """What ends a run whose work has stopped without an answer, as its protocol demands.

    `usage` is what it has used of models, None if that is not known. `events` and `steps` are what the run has not
    committed yet. They are committed with its end: a finished turn without calls would be taken for its answer by the
    server that goes on with it.
    """

    run_id: str
    ending: Ending
    sentence: str = ""
    error_id: str = ""
    retry_after_s: float | None = None
    retryable: bool = True
    usage: Usage | None = None
    events: tuple[Event, ...] = ()
    steps: tuple[StepRecord, ...] = ()


@define(eq=False)
class Delete(Ask[bool]):
    """To a conversation: cancel its runs, delete the thread, and stop. Fails with `StorageUnavailable`.

    `unless_since`: only if the thread has no run, and no message since that time (Unix seconds); else the reply is
    False, and nothing has changed.
    """

    must_finish = True

    unless_since: float | None = None


@define(eq=False)
class CancelRun(Ask[bool]):
    """To a conversation: cancel this run. The reply is False if it has ended already.

    `waiting`: only if its work has not begun; else the reply is False, and nothing has changed. `by` is the id of the
    operator who cancels it, with the `reason` that they gave, None if its user does.
    """

    must_finish = True

    run_id: str
    waiting: bool = False
    by: str | None = None
    reason: str | None = field(default=None, repr=False)


@frozen
class EndTurn:
    """To a run: end the current turn of the model and keep its text, because this steer is to enter now."""

    steer_id: str


@define(eq=False)
class Decide(Ask[bool]):
    """To a conversation, and from there to the run: its user has decided about a call that waits for approval.

    `parameters` are those to which the user changed the call's, None if they did not. `remember`: the tool is allowed
    always in this thread. `by` is the id of the user, or of the operator who has taken over, `door` the way that the
    decision came. The reply, False if that call does not wait or was decided otherwise, comes when the decision is
    stored. Fails with `CommandRejected` (`invalid_command`) for parameters that do not fit, with which the call still
    waits, or with `StorageUnavailable`.
    """

    call_id: str
    decision: ApprovalDecision
    note: str = field(default="", repr=False)
    parameters: JsonObject | None = field(default=None, repr=False)
    remember: bool = False
    by: str | None = None
    door: str | None = None


@define(eq=False)
class AnswerQuestion(Ask[bool]):
    """To a conversation, and from there to the run: its user answers a question, or declines to (`answer` None).

    `by` is the id of the user, or of the operator who has taken over, `door` the way that the command came. The
    reply, False if that question is not open or has another answer, comes when the answer is stored. Fails with
    `CommandRejected` (`invalid_command`) for an answer that does not fit, with which the question stays open, or with
    `StorageUnavailable`.
    """

    question_id: str
    answer: JsonObject | None = field(repr=False)
    by: str
    door: str


@frozen
class RequestSnapshot:
    """To a conversation: send this outbox the text of the running answer from its beginning; it missed a part.
    `RemoteNodes`: the nodes that follow the thread, with the number of its last event."""

    outbox: ActorRef | RemoteNodes


@frozen
class PermitGranted:
    """To a conversation, or to a suspended run: the run has been granted its concurrency permit."""

    run_id: str


@frozen
class PositionChanged:
    """To a conversation, or to a suspended run: the run's position in the queue for permits has changed."""

    run_id: str


@frozen
class EnsureRunning:
    """To a conversation: this run has no end in the database; make sure that it is queued."""

    run_id: str


@frozen
class EnsureEffects:
    """To a conversation: calls of this run are being settled, or undone, says the log; make sure that they are."""

    run_id: str


@frozen
class OwnershipLost:
    """To a conversation: this node may no longer own its thread; stop without another write. `why`: this node does own
    it, but the log holds more than the conversation has read."""

    why: str | None = None


@frozen
class Begin:
    """To a run or call, first: start the work. A start hook would cost a scope, a timer and a step of who spawns it."""


@frozen
class Stop:
    """To a run: stop now, as its user asked for it."""


@frozen
class RunRequest:
    """The input of a run: the message to answer, and the name of the agent.

    `findings_summary` is the summary of the findings in the message, None if there is none to send. `roles` and
    `groups` are those of the sender's token: the run's tools have its rights, and it is handed over only to agents that
    allow them. They are not stored, so a run resumed after a crash has none. `context` and `settings` (`timeout_s`,
    `max_turns`) are those of the message; they are in the log. `agent_id` is the id of its first agent if the log has
    the start of that agent already, with `findings_summary`. `attempt` is the name of the attempt at the run that this
    request starts. `lost_server`: the run was at work when its server died.
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
    settings: JsonObject = field(factory=dict)
    groups: tuple[str, ...] = ()
    agent_id: str | None = None
    attempt: str = FIRST_ATTEMPT
    lost_server: bool = False

    @property
    def user(self) -> str:
        """The owner, as permissions name users."""
        return self.owner

    @property
    def attended(self) -> bool:
        """Whether somebody may wait for the answer."""
        return not self.message_id.startswith(AUTOMATIC)
