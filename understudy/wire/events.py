"""The events of the chat, and its envelope. Those that every server sends are in `transport.wire.events`.

Fields have their wire names; times are Unix seconds unless a name says otherwise.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeVar

import msgspec
from attrs import field, frozen
from attrs.converters import optional
from msgspec import UNSET, UnsetType

from transport.wire import events
from transport.wire.events import (
    Drain,
    Error,
    Event,
    JsonObject,
    PartialResult,
    Ping,
    Pong,
    Priority,
    Resync,
    Welcome,
    named,
)


class ToolStatus(enum.StrEnum):
    """How a tool call ended."""

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    KILLED = "killed"
    DENIED = "denied"


class RunStatus(enum.StrEnum):
    """How an agent's part of a run, or a whole run, ended."""

    SUCCESS = "success"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class UndoStatus(enum.StrEnum):
    """How the undo of a tool call ended."""

    OK = "ok"
    FAILED = "failed"


class ApprovalDecision(enum.StrEnum):
    """How a tool call's wait for approval ended."""

    ALLOW = "allow"
    DENY = "deny"
    EXPIRED = "expired"


class AnswerOutcome(enum.StrEnum):
    """How the wait for the answer to a question ended."""

    ANSWERED = "answered"
    DECLINED = "declined"
    EXPIRED = "expired"


@frozen
class Usage:
    """The use of a model for an answer: words (offline model) or tokens (language models) in and out, and model turns.

    `cost` is in the currency of the server's prices; unset, and left out on the wire, if the price is unknown. `cached`
    are those of `input` that the provider had cached, `cache_written` those that it put into its cache, for which some
    charge more, `reasoning` those of `output` that the model thought with; unset, and left out, if the provider does
    not say. `estimated` are those of both that the server has estimated, as the request was cut off before the provider
    said; unset if there are none.
    """

    input: int = 0
    output: int = 0
    turns: int = 0
    cost: float | UnsetType = UNSET
    cached: int | UnsetType = UNSET
    reasoning: int | UnsetType = UNSET
    estimated: int | UnsetType = UNSET
    cache_written: int | UnsetType = UNSET

    def __add__(self, other: "Usage") -> "Usage":
        if other is NO_USAGE:
            return self
        if self is NO_USAGE:
            return other
        cost = _sum(self.cost, other.cost)
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.turns + other.turns,
            cost if isinstance(cost, UnsetType) else round(cost, 10),
            _sum(self.cached, other.cached),
            _sum(self.reasoning, other.reasoning),
            _sum(self.estimated, other.estimated),
            _sum(self.cache_written, other.cache_written),
        )


NO_USAGE: Final = Usage()
"""The use of nothing: where a sum begins."""


Number = TypeVar("Number", int, float)


def _sum(one: Number | UnsetType, other: Number | UnsetType) -> Number | UnsetType:
    """Return the sum of those numbers that are set."""
    if isinstance(one, UnsetType):
        return other
    return one if isinstance(other, UnsetType) else one + other


# Sequences become tuples, so that an event is immutable throughout. One converter per type: mypy rejects `tuple`.
def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _objects(values: Iterable[JsonObject]) -> tuple[JsonObject, ...]:
    return tuple(values)


@frozen
class MessageAccepted(Event):
    """A user's message was stored and its run is queued; the first event of every run.

    `parent_id` is the answer that it follows. `branch_of` is set if a new branch begins: the message that was edited,
    or, if a message is answered again, that message itself. `context` and `settings` are the message's, or None.
    `continues` is the run whose answer, which was cut, this run goes on with.
    """

    type: ClassVar[str] = "message_accepted"
    message_id: str
    run_id: str
    content: str = field(repr=False)
    references: Sequence[str] = field(default=(), converter=_texts)
    parent_id: str | None = None
    branch_of: str | None = None
    context: JsonObject | None = field(default=None, repr=False)
    settings: JsonObject | None = None
    continues: str | None = None


@frozen
class AgentStarted(Event):
    """An agent has started work on the run; precedes its other events."""

    type: ClassVar[str] = "agent_started"
    agent_id: str
    message: str
    timestamp: float


@frozen
class AgentThinking(Event):
    """The agent's next step, in a sentence.

    `notice` names one that tells of the server and not of the agent, and is to stay in sight: ``model_changed``, as
    another model goes on, ``resumed``, as the run goes on after its server has died, or what an operator has done:
    `TAKEN_OVER`, `HANDED_BACK` or `ENDED_BY_OPERATOR`. Of these `by` is the operator's id, and `reason` the one that
    they gave.
    """

    type: ClassVar[str] = "agent_thinking"
    agent_id: str
    thought: str = field(repr=False)
    timestamp: float
    notice: str | None = None
    by: str | None = None
    reason: str | None = field(default=None, repr=False)


@frozen
class AgentHandoff(Event):
    """One agent hands the run to another."""

    type: ClassVar[str] = "agent_handoff"
    from_agent: str = field(metadata=named("from"))
    to_agent: str = field(metadata=named("to"))
    reason: str = field(repr=False)


@frozen
class ToolExecuting(Event):
    """A tool call started; a `ToolCompleted` with the same `call_id` follows in any case."""

    type: ClassVar[str] = "tool_executing"
    agent_id: str
    call_id: str
    tool_name: str
    parameters: JsonObject = field(repr=False)
    description: str = field(repr=False)
    timestamp: float


@frozen
class SubagentStarted(Event):
    """A tool call asks another agent: events with its `agent_id` belong to the call until `SubagentCompleted`."""

    type: ClassVar[str] = "subagent_started"
    agent_id: str
    call_id: str
    agent: str
    message: str = field(repr=False)
    timestamp: float


@frozen
class SubagentCompleted(Event):
    """The agent that a tool call asked has ended; sent once for every `SubagentStarted`, before the call's end."""

    type: ClassVar[str] = "subagent_completed"
    agent_id: str
    call_id: str
    status: RunStatus
    usage: Usage
    timestamp: float


@frozen
class ToolCompleted(Event):
    """A tool call ended; sent once for every `ToolExecuting`.

    `findings` list what was redacted from its result, or looks like an instruction to the model: kind, category, action
    and count of each; never the text itself. `effect` is `unknown` if a call that did not succeed may have taken
    effect. The call can be undone until `undo_until` (Unix seconds); None: not at all. `files` are those that it saved
    for the user: id, name, media_type and size (bytes) of each. `widget` names the user interface that the tool has:
    `server` and `uri`.
    """

    type: ClassVar[str] = "tool_completed"
    agent_id: str
    call_id: str
    tool_name: str
    result: Any = field(repr=False)
    result_summary: str = field(repr=False)
    status: ToolStatus
    duration_ms: float
    timestamp: float
    findings: Sequence[JsonObject] | None = field(default=None, converter=optional(_objects))
    effect: str | None = None
    undo_until: float | None = None
    files: Sequence[JsonObject] | None = field(default=None, converter=optional(_objects))
    widget: JsonObject | None = None


@frozen
class ApprovalRequired(Event):
    """A started tool call waits for its user's approval, until `expires_at` (Unix seconds).

    `schema` is the JSON schema of the parameters, with which a user can edit them.
    """

    type: ClassVar[str] = "approval_required"
    priority: ClassVar[Priority] = Priority.HIGH
    agent_id: str
    call_id: str
    tool_name: str
    parameters: JsonObject = field(repr=False)
    expires_at: float
    schema: JsonObject | None = field(default=None, repr=False)


@frozen
class ApprovalDecided(Event):
    """The wait for approval ended: the user allowed or denied the call, or (`expired`) did not answer in time.

    `parameters` are those that the user changed the call's to. `remember`: the tool is allowed always in this thread.
    `by` is the id of the user who decided, `door` the way that the decision came; `remembered` if it was made before.
    """

    type: ClassVar[str] = "approval_decided"
    call_id: str
    decision: ApprovalDecision
    note: str | None = field(default=None, repr=False)
    parameters: JsonObject | None = field(default=None, repr=False)
    remember: bool | None = None
    by: str | None = None
    door: str | None = None


@frozen
class QuestionAsked(Event):
    """A run waits for its user's answer to a question, until `expires_at` (Unix seconds).

    The answer is an object that fits `schema`, a JSON schema. `choices`, if set, are the values that its only property
    `choice` may have, each with a `title`, so that a client can show buttons. `asked_by` is `tool` or `server`;
    `call_id` names the tool call that waits. If it is `client`, the answer is the result of a tool of the client that
    sent the message: then `calls` are all the calls that the run waits for, `said` and `usage` what there is so far.
    `sign_in`, if set, names the MCP server at which the user is to sign in; the answer is then given when they have.
    """

    type: ClassVar[str] = "question_asked"
    priority: ClassVar[Priority] = Priority.HIGH
    question_id: str
    agent_id: str
    title: str = field(repr=False)
    schema: JsonObject = field(repr=False)
    expires_at: float
    asked_by: str
    call_id: str | None = None
    text: str | None = field(default=None, repr=False)
    choices: Sequence[JsonObject] | None = field(default=None, converter=optional(_objects), repr=False)
    calls: Sequence[str] | None = field(default=None, converter=optional(_texts))
    said: str | None = field(default=None, repr=False)
    sign_in: str | None = None
    usage: Usage | None = None


@frozen
class QuestionAnswered(Event):
    """The wait for an answer ended. `answer` is set if the outcome is `answered`.

    `by` is the id of the user who answered or declined, `door` the way that the command came. `withheld` are the names
    of secret fields, whose values only the tool was given.
    """

    type: ClassVar[str] = "question_answered"
    question_id: str
    outcome: AnswerOutcome
    answer: JsonObject | None = field(default=None, repr=False)
    by: str | None = None
    door: str | None = None
    withheld: Sequence[str] | None = field(default=None, converter=optional(_texts))


@frozen
class SteerAccepted(Event):
    """A message of the user to a run at work was stored, and waits for the run's next safe point.

    `mode` is a `understudy.wire.commands.SteerMode`: `next` or `now`. `findings` list what was redacted from the
    content: kind, category, action and count of each; never the text itself. `by` is the id of the operator who sent
    it, who has taken over the run; None if the user did.
    """

    type: ClassVar[str] = "steer_accepted"
    steer_id: str
    content: str = field(repr=False)
    mode: str
    findings: Sequence[JsonObject] | None = field(default=None, converter=optional(_objects))
    by: str | None = None


@frozen
class SteerTaken(Event):
    """A steer entered its run: the model reads it from its turn number `turn` on, counted from 0."""

    type: ClassVar[str] = "steer_taken"
    steer_id: str
    turn: int


@frozen
class SteerWithdrawn(Event):
    """A steer does not enter its run: its user took it back, or the run ended first.

    `message_id` is set if the run ended first: the ordinary message that the steer became, or became part of. An
    operator's steer becomes none.
    """

    type: ClassVar[str] = "steer_withdrawn"
    steer_id: str
    message_id: str | None = None


@frozen
class CallSettled(Event):
    """After the end of its run it became known whether a tool call took `effect`: `done`, `none`, or still `unknown`.

    A call that did has a `result_summary`, and can be undone until `undo_until` (Unix seconds), None: not at all.
    """

    type: ClassVar[str] = "call_settled"
    call_id: str
    tool_name: str
    effect: str
    result_summary: str | None = field(default=None, repr=False)
    undo_until: float | None = None


@frozen
class UndoStarted(Event):
    """The user undoes these calls of an ended run, in this order; a `CallUndone` follows for each that is tried."""

    type: ClassVar[str] = "undo_started"
    call_ids: Sequence[str] = field(converter=_texts)


@frozen
class CallUndone(Event):
    """A tool call was undone, or (`failed`) could not be: `reason` says why, and it can be tried again.

    After a failure the calls `kept`, which were to be undone after it, stay as they are.
    """

    type: ClassVar[str] = "call_undone"
    call_id: str
    tool_name: str
    status: UndoStatus
    reason: str | None = None
    kept: Sequence[str] | None = field(default=None, converter=optional(_texts))


@frozen
class AgentProgress(Event):
    """Progress of a run, or only that it is still working."""

    type: ClassVar[str] = "agent_progress"
    durable: ClassVar[bool] = False
    priority: ClassVar[Priority] = Priority.LOW
    in_snapshot: ClassVar[bool] = True
    done: float
    note: str
    total: float | None = None


def _items(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)


@frozen
class ToolPartial(Event):
    """What a running tool call has yielded so far: `items`, of which `offset` came before. Its result has them all."""

    type: ClassVar[str] = "tool_partial"
    durable: ClassVar[bool] = False
    priority: ClassVar[Priority] = Priority.LOW
    call_id: str
    offset: int
    items: Sequence[Any] = field(converter=_items, repr=False)


@frozen
class ThreadTitled(Event):
    """The thread has a new title, made by the model of its agent. It is not logged: a list of threads has it, too."""

    type: ClassVar[str] = "thread_titled"
    durable: ClassVar[bool] = False
    title: str = field(repr=False)


@frozen
class ThreadChanged(Event):
    """The user renamed, pinned, archived or tagged the thread, or it was deleted: then `deleted` is True.

    It is not logged: a list of threads has what it is.
    """

    type: ClassVar[str] = "thread_changed"
    durable: ClassVar[bool] = False
    deleted: bool | None = None


@frozen
class AnswersRead(Event):
    """The user has seen these threads up to a number each, on one of their devices; None: all of them.

    It belongs to no thread and is not logged: the inbox has what is unread.
    """

    type: ClassVar[str] = "answers_read"
    durable: ClassVar[bool] = False
    threads: Mapping[str, int] | None = None


@frozen
class SanitizationSummary(Event):
    """What was redacted from a message, a tool's result or an answer: kinds and positions, never the text itself.

    `direction` is `inbound`, `tool` or `outbound`. `counts` are by category, `kinds` by kind. `findings` have kind,
    start, end (code points of the original text), and action; `omitted` more are counted but not listed. `call_id`
    names the tool call of the result.
    """

    type: ClassVar[str] = "sanitization_summary"
    direction: str
    counts: Mapping[str, int]
    findings: Sequence[JsonObject] = field(converter=_objects)
    threshold: int
    kinds: Mapping[str, int] | None = None
    omitted: int | None = None
    call_id: str | None = None


@frozen
class AgentCompleted(Event):
    """An agent has ended its part of the run; sent once for every `AgentStarted`."""

    type: ClassVar[str] = "agent_completed"
    agent_id: str
    result: str = field(repr=False)
    status: RunStatus
    usage: Usage
    timestamp: float


@frozen
class FinalResponse(Event):
    """The answer: the terminal event of a run that was not ended by an `Error`."""

    type: ClassVar[str] = "final_response"
    terminal: ClassVar[bool] = True
    message: str = field(repr=False)
    status: RunStatus
    usage: Usage
    data: JsonObject | None = field(default=None, repr=False)
    visualization: JsonObject | None = field(default=None, repr=False)


@frozen
class AgentError(Event):
    """An agent failed. Never terminal: its `AgentCompleted` and the end of the run follow.

    The fields have the meaning of those of `Error`.
    """

    type: ClassVar[str] = "agent_error"
    priority: ClassVar[Priority] = Priority.HIGH
    agent_id: str
    code: str
    message: str
    retryable: bool
    error_id: str
    retry_after: float | None = None


@frozen
class Typing(Event):
    """The user is typing on another of their connections."""

    type: ClassVar[str] = "typing"
    durable: ClassVar[bool] = False
    priority: ClassVar[Priority] = Priority.LOW


@frozen
class FeedbackGiven(Event):
    """The user's rating of an answer changed, on any connection; `rating` None: withdrawn."""

    type: ClassVar[str] = "feedback"
    durable: ClassVar[bool] = False
    message_id: str
    rating: str | None


@frozen
class Alert(Event):
    """An urgent message to one user or all users; it overtakes everything that is queued.

    `kinds` counts the secrets that a message held, by kind; None for an operator's alert. `summarised`: a
    `sanitization_summary` of the message's run tells of them too, so a client that shows that need not show this.
    """

    type: ClassVar[str] = "alert"
    durable: ClassVar[bool] = False
    priority: ClassVar[Priority] = Priority.ALERT
    message: str
    kinds: Mapping[str, int] | None = None
    summarised: bool | None = None


class AskedAgent(msgspec.Struct, frozen=True, gc=False):
    """The agent that a user's message was addressed to, by its wire names."""

    agent_type: str
    pillar: str | None = None


class Envelope(events.Envelope, frozen=True, eq=False):
    """An event of the chat with everything around it.

    `agent_type` and `pillar` name the agent the event comes from; `asked_agent` is set if the user's message was
    addressed to another one, which handed over.
    """

    client_names: ClassVar[tuple[str, ...]] = ("message_id", "thread_id", "conversation_id")
    nulls: ClassVar[frozenset[str]] = frozenset({"pillar"})

    conversation_id: str | None = None
    agent_type: str | None = None
    pillar: str | None = None
    asked_agent: AskedAgent | None = None


TAKEN_OVER: Final = "taken_over"
"""The notice of a run that an operator has taken over."""


HANDED_BACK: Final = "handed_back"
"""The notice of a run that an operator has handed back to its user."""


ENDED_BY_OPERATOR: Final = "ended_by_operator"
"""The notice of a run that an operator ends."""


TERMINAL: Final[tuple[type[Event], ...]] = (FinalResponse, Error)


ANSWER: Final = "answer-"
"""Prefix of the ids of answers; the rest is the run's id. They share a namespace with the users' own message ids."""


EVENTS: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {
        kind.type: kind
        for kind in (
            MessageAccepted,
            AgentStarted,
            AgentThinking,
            AgentHandoff,
            ToolExecuting,
            ToolCompleted,
            SubagentStarted,
            SubagentCompleted,
            ApprovalRequired,
            ApprovalDecided,
            QuestionAsked,
            QuestionAnswered,
            SteerAccepted,
            SteerTaken,
            SteerWithdrawn,
            CallSettled,
            UndoStarted,
            CallUndone,
            AgentProgress,
            ToolPartial,
            PartialResult,
            SanitizationSummary,
            AgentCompleted,
            FinalResponse,
            Error,
            AgentError,
            Welcome,
            Typing,
            FeedbackGiven,
            ThreadTitled,
            ThreadChanged,
            AnswersRead,
            Alert,
            Drain,
            Ping,
            Pong,
            Resync,
        )
    }
)
