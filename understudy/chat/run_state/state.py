"""The state of a run: a pure fold of its events, and of the steps that are committed beside them.

A conversation folds the events of its runs as it commits them, which says what may happen next; it records no steps,
which would hold every result of every tool in memory. Whoever resumes, forks, continues or reports a run folds both.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Final, Self

from attrs import define, evolve, field

from transport.wire.events import Error, Event
from transport.wire.unknown_event import UnknownEvent
from understudy.chat.run_state.records import AgentRecord, QuestionRecord, SteerRecord, ToolCallRecord
from understudy.chat.run_state.transitions import ENDED, KINDS, NEW, TRANSITIONS, RunProtocolError
from understudy.storage.records import StepRecord
from understudy.wire.events import (
    NO_USAGE,
    AgentCompleted,
    AgentError,
    AgentHandoff,
    AgentStarted,
    AgentThinking,
    ApprovalDecided,
    ApprovalRequired,
    FinalResponse,
    MessageAccepted,
    QuestionAnswered,
    QuestionAsked,
    SteerAccepted,
    SteerTaken,
    SteerWithdrawn,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    Usage,
)

RESUMED: Final = "resumed"
"""The notice of a run that goes on after its server has died."""
_WORDS: Final = {"approval_decided": "decision", "tool_completed": "status"}
"""The attributes of events that the table tells apart, by type."""
_MOVED: Final = {
    kind: [(noun, f"{noun}_id", f"{noun}s") for noun in ("agent", "call", "question", "steer") if kind in KINDS[noun]]
    for kind in frozenset[str]().union(*KINDS.values())
}
"""What events of a type move: the noun, the event's attribute that has its id, and the state's that has the records."""


@define
class RunState:
    """The state of one run, by `apply`-ing its durable events and `record`-ing its steps, in order.

    `accepted` and `end` are its first and its last event, None if the log does not have them. `agents`, `calls`,
    `questions` and `steers` are all that the log has, by id and in order; `busy` is the number of agents and calls that
    have not ended, `usage` that of the agents that have. `operator` is the one who has taken over the run, None also
    after it was handed back. `restarts` is how often it went on after its server had died. `thoughts` are pairs of an
    agent's id and a thought. `steps` are the latest of each number.

    The mappings are never changed, but replaced: copies share them.
    """

    run_id: str
    state: str = NEW
    accepted: MessageAccepted | None = field(default=None, repr=False)
    end: FinalResponse | Error | None = field(default=None, repr=False)
    busy: int = 0
    agents: Mapping[str, AgentRecord] = field(factory=dict)
    calls: Mapping[str, ToolCallRecord] = field(factory=dict)
    questions: Mapping[str, QuestionRecord] = field(factory=dict)
    steers: Mapping[str, SteerRecord] = field(factory=dict)
    operator: str | None = None
    usage: Usage = NO_USAGE
    handoffs: int = 0
    restarts: int = 0
    thoughts: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    steps: Mapping[int, StepRecord] = field(factory=dict, repr=False)

    @classmethod
    def read(cls, run_id: str, events: Iterable[Event], steps: Iterable[StepRecord] = ()) -> Self:
        """Return the state of a run by what is left of its log, of which the beginning may be trimmed, and its steps.

        Events whose beginning is missing, and those about the run after its end, are passed over.
        """
        state = cls(run_id)
        for event in events:
            if state.state == NEW and not isinstance(event, MessageAccepted):
                state.state = "done"  # its acceptance is trimmed
            try:
                state.apply(event)
            except RunProtocolError:
                continue
        state.record(steps)
        return state

    def copy(self) -> "RunState":
        """Return a copy that can be changed by itself."""
        return copy(self)

    @property
    def open_agents(self) -> list[AgentRecord]:
        """The agents that have started and not ended, without subagents."""
        return [agent for agent in self.agents.values() if agent.call_id is None and agent.state != ENDED]

    @property
    def open_calls(self) -> list[ToolCallRecord]:
        """The calls that have begun and not ended."""
        return [call for call in self.calls.values() if not call.ended]

    @property
    def waiting_steers(self) -> list[SteerAccepted]:
        """The steers that the run has not taken, oldest first."""
        return [steer.accepted for steer in self.steers.values() if steer.state == "waiting"] if self.steers else []

    @property
    def waits(self) -> list[ApprovalRequired | QuestionAsked]:
        """What the run waits for its user to allow, and to answer."""
        calls = [call.required for call in self.calls.values() if call.waits and call.required is not None]
        return [*calls, *(question.asked for question in self.questions.values() if question.waits)]

    @property
    def durations_s(self) -> dict[str, float]:
        """The time of work of each call that has ended, by its id, without the wait for its user."""
        return {call.call_id: call.worked_s for call in self.calls.values() if call.ended}

    def record(self, steps: Iterable[StepRecord]) -> None:
        """Record steps that are committed beside events; each replaces the one of its number."""
        self.steps = {**self.steps, **{step.number: step for step in steps}}

    def apply(self, event: Event) -> None:
        """Apply one durable event of the run.

        Raises:
            RunProtocolError: The event breaks the protocol; the state is unchanged.
        """
        moves, kind = list[tuple[str, str, str]](), event.type
        label = f"{kind} {getattr(event, _WORDS[kind])}" if kind in _WORDS else kind
        for noun, id_of, records in _MOVED.get(kind, ()):
            if (name := getattr(event, id_of, None)) is not None:
                record = getattr(self, records).get(name)
                moves.append((noun, NEW if record is None else record.state, label))
        if isinstance(event, AgentThinking) and event.notice in KINDS["operator"]:
            moves.append(("operator", NEW if self.operator is None else "in_charge", event.notice))
        if isinstance(event, UnknownEvent):
            moves.append(("run", self.state, "later_release"))
        else:
            about = moves[-1][0] if moves else kind if kind in KINDS["run"] else "note"
            moves.append(("run", self.state, about))
        after: dict[str, str] = {}
        for noun, state, label in moves:
            if (moved := TRANSITIONS[noun].get(state, {}).get(label)) is None:
                raise RunProtocolError(f"{kind} in run {self.run_id}: {noun} {state or 'new'}, {label}")
            after[noun] = moved
        self.state = after["run"]
        match event:
            case MessageAccepted():
                self.accepted = event
            case AgentStarted(agent_id=name):
                self.agents = {**self.agents, name: AgentRecord(name, after["agent"])}
                self.busy += 1
            case AgentError(agent_id=name):
                self.agents = {**self.agents, name: evolve(self.agents[name], state=after["agent"])}
            case AgentCompleted(agent_id=name, usage=usage):
                self.agents = {**self.agents, name: evolve(self.agents[name], state=after["agent"])}
                self.usage += usage
                self.busy -= 1
            case SubagentStarted(agent_id=name, call_id=by) | SubagentCompleted(agent_id=name, call_id=by):
                self.agents = {**self.agents, name: AgentRecord(name, after["agent"], by)}
                self.calls = {**self.calls, by: evolve(self.calls[by], state=after["call"])}
            case ToolExecuting(agent_id=agent_id, call_id=name, tool_name=tool, timestamp=at):
                call = ToolCallRecord(name, state=after["call"], agent_id=agent_id, tool_name=tool, began_at=at)
                self.calls = {**self.calls, name: call}
                self.busy += 1
            case ApprovalRequired(call_id=name):
                self.calls = {**self.calls, name: evolve(self.calls[name], state=after["call"], required=event)}
            case ApprovalDecided(call_id=name):
                self.calls = {**self.calls, name: evolve(self.calls[name], state=after["call"], decided=event)}
            case ToolCompleted(call_id=name, duration_ms=worked_ms):
                call = evolve(self.calls[name], state=after["call"], worked_s=worked_ms / 1000)
                self.calls = {**self.calls, name: call}
                self.busy -= 1
                if self.questions:
                    self._close_questions(name)
            case QuestionAsked(question_id=name):
                self.questions = {**self.questions, name: QuestionRecord(event, after["question"])}
            case QuestionAnswered(question_id=name):
                answered = evolve(self.questions[name], state=after["question"], answered=event)
                self.questions = {**self.questions, name: answered}
            case SteerAccepted(steer_id=name):
                self.steers = {**self.steers, name: SteerRecord(event, after["steer"])}
            case SteerTaken(steer_id=name) | SteerWithdrawn(steer_id=name):
                self.steers = {**self.steers, name: evolve(self.steers[name], state=after["steer"])}
            case AgentThinking(agent_id=agent_id, thought=thought, by=by):
                if "operator" in after:
                    self.operator = by if after["operator"] else None
                elif by is None:  # one by an operator is no thought of the run's
                    self.thoughts = (*self.thoughts, (agent_id, thought))
                    self.restarts += event.notice == RESUMED
            case AgentHandoff():
                self.handoffs += 1
            case FinalResponse() | Error():
                self.end = event
        if self.state == "working" and not self.busy:
            self.state = TRANSITIONS["run"]["working"]["all_ended"]

    def _close_questions(self, call_id: str) -> None:
        """Close the questions of a call that has ended."""
        over = {
            question_id: evolve(question, state=TRANSITIONS["question"]["asked"]["tool_completed"])
            for question_id, question in self.questions.items()
            if question.asked.call_id == call_id and question.waits
        }
        self.questions = {**self.questions, **over}
