"""The protocol state of a run: which agents and calls have started, which must still end, and the events that end them.

1. A run is accepted once, and ends in exactly one `final_response` or `error`; nothing comes after it.
2. An agent starts before any other work; every agent that started completes. An agent that fails has one
   `agent_error` before its completion.
3. Every tool call that began is completed, under the same `call_id`, and before it the subagent that it asked. One that
   asked for consent succeeds only if its user allowed it, and is `denied` only if the user did not. A question is asked
   once and answered at most once; one that a call asked is over with the call.
4. A steer is accepted before it is taken or withdrawn, and only one of both happens to it.
5. At most one operator has taken over a run, also before an agent starts; another one can after it was handed back.
6. `closing_events` returns the events that keep 1 to 3 when the run itself can no longer do so.
"""

import enum
import uuid
from collections.abc import Collection
from copy import copy
from typing import Final

from attrs import define, evolve, field, frozen

from transport.wire.commands import JsonObject
from transport.wire.events import Error, Event
from transport.wire.unknown_event import UnknownEvent
from understudy.agents.agent import Agent
from understudy.wire.codes import ERRORS
from understudy.wire.events import (
    ENDED_BY_OPERATOR,
    HANDED_BACK,
    NO_USAGE,
    TAKEN_OVER,
    TERMINAL,
    AgentCompleted,
    AgentError,
    AgentStarted,
    AgentThinking,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    FinalResponse,
    MessageAccepted,
    QuestionAnswered,
    QuestionAsked,
    RunStatus,
    SteerAccepted,
    SteerTaken,
    SteerWithdrawn,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)


class RunProtocolError(ValueError):
    """An event breaks the protocol of its run: it came twice, too early, or after the end."""


class Ending(enum.Enum):
    """Why a run ends without an answer, with the error code its user sees (None: not an error)."""

    CANCELLED = None
    TIMED_OUT = "agent_timeout"
    FAILED = "agent_failed"
    INTERRUPTED = "run_interrupted"
    NO_MODEL = "model_unavailable"
    BAD_OUTPUT = "invalid_output"
    NO_STORAGE = "storage_unavailable"
    BLOCKED = "content_blocked"
    STOPPED = "stopped"
    FORBIDDEN = "forbidden"


CANCELLED: Final = "run_cancelled"
"""The error code of calls that were cut as their user stopped the run, which itself ends without an error."""
_AGENT_STATUS = {Ending.CANCELLED: RunStatus.CANCELLED, Ending.INTERRUPTED: RunStatus.INTERRUPTED}
_CALL_STATUS = {
    Ending.CANCELLED: ToolStatus.CANCELLED,
    Ending.TIMED_OUT: ToolStatus.TIMED_OUT,
    Ending.INTERRUPTED: ToolStatus.KILLED,
}
_CALL_TEXT = {
    ToolStatus.CANCELLED: "Stopped before it was finished.",
    ToolStatus.TIMED_OUT: "Took longer than it is allowed to.",
    ToolStatus.KILLED: "Was interrupted before it was finished.",
    ToolStatus.FAILED: "Failed.",
}


@frozen
class OpenCall:
    """A tool call that has started and not ended; `since` is in Unix seconds.

    `asked` says that its user's approval was requested; `decision` is None until the user has decided, `parameters`
    are those that the user changed the call's to.
    """

    agent_id: str
    call_id: str
    tool_name: str
    since: float
    asked: bool = False
    decision: ApprovalDecision | None = None
    parameters: JsonObject | None = field(default=None, repr=False)

    @property
    def waits(self) -> bool:
        """Whether it waits for its user's approval."""
        return self.asked and self.decision is None


@frozen
class AskedQuestion:
    """A question of the run. `answer` is None until it was answered; `over`: the call that asked it has ended."""

    call_id: str | None
    answer: QuestionAnswered | None = None
    over: bool = False

    @property
    def waits(self) -> bool:
        """Whether it waits for its user's answer."""
        return self.answer is None and not self.over


@define
class RunProtocol:
    """The protocol state of one run, built by `apply`-ing its durable events in order.

    `steers` are the accepted steers by id, in order; None for one that was taken or withdrawn. `subagents` are those at
    work, by the id of their call. `operator` is the one who has taken over the run, None also after it was handed back.
    """

    run_id: str
    accepted: bool = False
    ended: bool = False
    any_agent: bool = False
    agents: dict[str, float] = field(factory=dict)
    calls: dict[str, OpenCall] = field(factory=dict)
    subagents: dict[str, SubagentStarted] = field(factory=dict)
    questions: dict[str, AskedQuestion] = field(factory=dict)
    failed: frozenset[str] = frozenset()
    usage: Usage = NO_USAGE
    steers: dict[str, SteerAccepted | None] = field(factory=dict)
    operator: str | None = None

    def copy(self) -> "RunProtocol":
        """Return a copy that can be changed by itself."""
        made = copy(self)
        made.agents, made.calls, made.subagents = {**self.agents}, {**self.calls}, {**self.subagents}
        made.questions, made.steers = {**self.questions}, {**self.steers}
        return made

    @property
    def waiting_steers(self) -> list[SteerAccepted]:
        """The steers that the run has not taken, oldest first."""
        return [each for each in self.steers.values() if each is not None] if self.steers else []

    def apply(self, event: Event) -> None:
        """Apply one durable event of the run.

        Raises:
            RunProtocolError: The event breaks the promise; the state is unchanged.
        """
        if self.ended:
            raise RunProtocolError(f"{event.type} after the end of run {self.run_id}")
        if self.accepted == isinstance(event, MessageAccepted):
            raise RunProtocolError(f"{event.type} {'twice' if self.accepted else 'before message_accepted'}")
        match event:
            case MessageAccepted():
                self.accepted = True
            case AgentStarted(agent_id=agent_id, timestamp=at):
                if agent_id in self.agents:
                    raise RunProtocolError(f"agent {agent_id} started twice")
                self.agents[agent_id] = at
                self.any_agent = True
            case AgentCompleted(agent_id=agent_id, usage=usage):
                if self.agents.pop(agent_id, None) is None:
                    raise RunProtocolError(f"agent {agent_id} completed without a start")
                self.usage = self.usage + usage
            case ToolExecuting(agent_id=agent_id, call_id=call_id, tool_name=name, timestamp=at):
                if call_id in self.calls or not self.any_agent:
                    raise RunProtocolError(f"tool call {call_id} began twice or before an agent")
                self.calls[call_id] = OpenCall(agent_id, call_id, name, at)
            case _ if isinstance(event, TERMINAL):
                if self.calls or self.agents or not self.any_agent:
                    raise RunProtocolError(f"{event.type} while calls or agents are open")
                self.ended = True
            case SubagentStarted(call_id=call_id):
                if call_id not in self.calls or call_id in self.subagents:
                    raise RunProtocolError(f"a subagent of tool call {call_id} started twice or without the call")
                self.subagents[call_id] = event
            case SubagentCompleted(call_id=call_id):
                if self.subagents.pop(call_id, None) is None:
                    raise RunProtocolError(f"a subagent of tool call {call_id} completed without a start")
            case ApprovalRequired(call_id=call_id):
                if (call := self.calls.get(call_id)) is None or call.asked:
                    raise RunProtocolError(f"consent to tool call {call_id} was asked for twice or without a start")
                self.calls[call_id] = evolve(call, asked=True)
            case ApprovalDecided(call_id=call_id, decision=decision, parameters=parameters):
                if (call := self.calls.get(call_id)) is None or not call.waits:
                    raise RunProtocolError(f"tool call {call_id} was decided about without a question")
                self.calls[call_id] = evolve(call, decision=decision, parameters=parameters)
            case ToolCompleted(call_id=call_id, status=status):
                if (call := self.calls.get(call_id)) is None:
                    raise RunProtocolError(f"tool call {call_id} completed without a start")
                refused = call.decision in (ApprovalDecision.DENY, ApprovalDecision.EXPIRED)
                undecided = call.asked and call.decision is None
                if (status is ToolStatus.DENIED and not refused) or (
                    status is ToolStatus.OK and (refused or undecided)
                ):
                    raise RunProtocolError(f"tool call {call_id} ended as {status} against its user's decision")
                if call_id in self.subagents:
                    raise RunProtocolError(f"tool call {call_id} completed before its subagent")
                del self.calls[call_id]
                for question_id, question in self.questions.items():
                    if question.call_id == call_id:
                        self.questions[question_id] = evolve(question, over=True)
            case QuestionAsked(question_id=question_id, call_id=asking):
                if question_id in self.questions or not self.any_agent:
                    raise RunProtocolError(f"question {question_id} was asked twice or before an agent")
                if asking is not None and asking not in self.calls:
                    raise RunProtocolError(f"question {question_id} is of a tool call that is not at work")
                self.questions[question_id] = AskedQuestion(asking)
            case QuestionAnswered(question_id=question_id):
                if (asked := self.questions.get(question_id)) is None or not asked.waits:
                    raise RunProtocolError(f"question {question_id} was answered without being asked")
                self.questions[question_id] = evolve(asked, answer=event)
            case SteerAccepted(steer_id=steer_id):
                if steer_id in self.steers:
                    raise RunProtocolError(f"steer {steer_id} was accepted twice")
                self.steers[steer_id] = event
            case SteerTaken(steer_id=steer_id) | SteerWithdrawn(steer_id=steer_id):
                if self.steers.get(steer_id) is None:
                    raise RunProtocolError(f"{event.type} of a steer that does not wait")
                self.steers[steer_id] = None
            case AgentError(agent_id=agent_id):
                if agent_id not in self.agents or agent_id in self.failed:
                    raise RunProtocolError(f"agent {agent_id} failed twice, or was not at work")
                self.failed |= {agent_id}
            case AgentThinking(notice=notice, by=by) if notice == TAKEN_OVER:
                if self.operator is not None:
                    raise RunProtocolError("an operator took over twice")
                self.operator = by
            case AgentThinking(notice=notice) if notice == HANDED_BACK:
                if self.operator is None:
                    raise RunProtocolError("handed back by an operator, but not taken over")
                self.operator = None
            case _ if not self.any_agent and not isinstance(event, UnknownEvent):
                raise RunProtocolError(f"{event.type} before agent_started")

    def closing_events(
        self,
        ending: Ending,
        *,
        now: float,
        text: str = "",
        sentence: str = "",
        error_id: str = "",
        retry_after: float | None = None,
        retryable: bool = True,
        in_doubt: Collection[str] = (),
        usage: Usage | None = None,
        operator: str | None = None,
        reason: str | None = None,
    ) -> list[Event]:
        """Return the events that end the run from here, in order; an empty list if it has ended.

        An agent that could not go on has an `AgentError` before its end, with the words and the `error_id` of the final
        `Error`; one that was cancelled or interrupted has none. `now` is in Unix seconds, `text` the answer streamed so
        far, which no later event has after an error; `sentence` replaces the error code's own text, `retry_after` is in
        seconds, and without `retryable` the error is not, whatever its code. The open calls `in_doubt` may have taken
        effect. `usage` is that of the run, by default that of its agents that have completed. If an `operator` has
        cancelled the run, a notice says so, with the `reason` if they gave one.
        """
        if self.ended:
            return []
        status, error = _AGENT_STATUS.get(ending, RunStatus.FAILED), None
        if ending.value is not None:
            code = ERRORS[ending.value]
            error = Error(code.name, sentence or code.text, code.retryable and retryable, error_id, retry_after)
        events: list[Event] = []
        for call in reversed(self.calls.values()):
            if (sub := self.subagents.get(call.call_id)) is not None:
                events.append(SubagentCompleted(sub.agent_id, call.call_id, status, Usage(), now))
            events.append(_close_call(call, ending, now, "unknown" if call.call_id in in_doubt else None))
        agents = list(self.agents)
        if not self.any_agent:
            agents = [f"none-{self.run_id}"]
            events.append(AgentStarted(agents[0], "No agent could begin", now))
        if ending is Ending.CANCELLED and operator is not None:
            said = operators_act("ended", reason)
            events.append(AgentThinking(agents[-1] if agents else "", said, now, ENDED_BY_OPERATOR, operator, reason))
        left = usage if usage is not None and self.usage == Usage() else Usage()  # of the one agent that was at work
        for agent_id in reversed(agents):
            if error is not None and status is RunStatus.FAILED and agent_id not in self.failed:
                events.append(AgentError(agent_id, error.code, error.message, error.retryable, error.error_id))
            events.append(AgentCompleted(agent_id, text if error is not None else "", status, left, now))
            left = Usage()
        events.append(error or FinalResponse(text, RunStatus.CANCELLED, self.usage if usage is None else usage))
        return events


def operators_act(act: str, reason: str | None) -> str:
    """Return the sentence that tells a user what an operator has done with their run."""
    return f"An operator has {act} this run{'' if reason is None else f': {reason}'}"


def agent_started(agent: Agent, now: float, agent_id: str | None = None) -> AgentStarted:
    """Return the start of an agent at `now` (Unix seconds), under a new id unless `agent_id` is given."""
    agent_id = agent_id or f"{agent.name}-{uuid.uuid4().hex[:8]}"
    return AgentStarted(agent_id, f"{agent.display_title} is on it", now)


def _close_call(call: OpenCall, ending: Ending, now: float, effect: str | None) -> ToolCompleted:
    status = _CALL_STATUS.get(ending, ToolStatus.FAILED)
    fault = {"code": ending.value or CANCELLED, "message": _CALL_TEXT[status]}
    return ToolCompleted(
        agent_id=call.agent_id,
        call_id=call.call_id,
        tool_name=call.tool_name,
        result={"error": fault},
        result_summary=_CALL_TEXT[status],
        status=status,
        duration_ms=0.0 if call.waits else max(0.0, now - call.since) * 1000,
        timestamp=now,
        effect=effect,
    )
