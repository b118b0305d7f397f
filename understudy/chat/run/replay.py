"""The progress of an interrupted run, rebuilt from its logged events and steps. Pure.

1. A recorded turn of the model is not asked again, with one exception: none of its calls has started, and the recorded
   arguments of one were redacted, so that the call cannot be made from them.
2. A finished tool call has its outcome from its step. A call that started and did not finish is in doubt: it is made
   again only if its tool or its user says so, or its tool is safe to retry, and its arguments were recorded unredacted.
   A call that waited for its user is not in doubt: for approval it did not run, and a tool asks its questions before it
   acts.
3. Logged events are not published again: agents' starts, thoughts, approval requests and decisions, questions and
   answers.
4. An interrupted turn continues after the text that was shown. If some of that text was redacted the model could not
   continue it, and the turn is asked from its beginning.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from attrs import evolve, field, frozen

from sanitization import Action, Finding
from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.chat.run.meter import CUT, HAND_WRITTEN, TITLE, usage_of, worked_s
from understudy.chat.run.questions import LoggedQuestion, calls_that_ask, collect_questions
from understudy.models.model import Handoff, ProviderState, Reply, ToolRequest
from understudy.storage.records import STEP_KINDS, StepRecord
from understudy.wire.events import (
    NO_USAGE,
    AgentHandoff,
    AgentStarted,
    AgentThinking,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    SteerAccepted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    Usage,
)

_T = TypeVar("_T")

WRITTEN_KINDS: Final = ("step", "ask")
"""Kinds of the steps of hand-written agents: their own, and their requests to the model."""
RECALL: Final = "recall_result"
"""The name of the tool that reads a folded or cut result."""
SEPARATOR: Final = "\n\n"
"""Separates the texts of two turns of the model."""


class UnreadableSteps(ValueError):
    """A step of a run cannot be decoded: it is damaged, or of another version."""


class LaterSteps(UnreadableSteps):
    """A run has a step of a kind that only a later release knows."""


@frozen
class RecordedResult:
    """The result of a finished call's step. Steps of earlier releases have only the fields without a default.

    The call can be undone until `undo_until` (Unix seconds), None if it cannot; `agent` is the name of the agent whose
    tool was called.
    """

    value: Any = field(repr=False)
    summary: str
    visualization: dict[str, Any] | None = field(repr=False)
    note: str = field(repr=False)
    suspect: bool
    kind: str = ""
    answer: str = field(default="", repr=False)
    next_steps: list[dict[str, Any]] = field(factory=list, repr=False)
    files: list[dict[str, Any]] = field(factory=list, repr=False)
    undo_until: float | None = None
    agent: str = ""


@frozen
class PendingCall:
    """A tool call that a model requested, and its recorded progress. `call_id` is the server's own id of it.

    `whole`: the arguments are as the model wrote them, unredacted. `step` is None if the call has not started,
    `result` if it has not finished. `asking`: its tool waits for the answer to the first question that it asked.
    `announced`: the run's log has its start; not of a call that another run began, which this one goes on with.
    `taken`: it finished in another run, and counts there.
    """

    request: ToolRequest
    call_id: str
    whole: bool = True
    step: StepRecord | None = field(default=None, repr=False)
    result: RecordedResult | None = None
    approval_event: ApprovalRequired | None = field(default=None, repr=False)
    decision_event: ApprovalDecided | None = field(default=None, repr=False)
    asking: bool = False
    announced: bool = True
    taken: bool = False

    @property
    def in_doubt(self) -> bool:
        """Whether the call may have run without its outcome being recorded."""
        if self.step is None or self.result is not None:
            return False
        if self.asking and (self.whole or self.approval_event is not None):
            return False
        return self.approval_event is None or (
            self.decision_event is not None and self.decision_event.decision is ApprovalDecision.ALLOW
        )


@frozen
class PastTurn:
    """A recorded turn of the model: its reply and its tool calls.

    `thoughts` is the number of the run's thoughts until the end of the turn, `findings` are those in its text until
    then. `number` is that of its step, `arguments` are those of its step: a hand-written agent's own counts. `taken`:
    it is another run's, and counts there.
    """

    reply: Reply
    calls: tuple[PendingCall, ...] = ()
    thoughts: int = 0
    findings: tuple[Finding, ...] = ()
    number: int = 0
    arguments: Any = None
    taken: bool = False


@frozen
class PastSteer:
    """A steer that the run took before turn number `turn` of its model, counted from 0."""

    turn: int
    steer_id: str
    text: str = field(repr=False)


@frozen
class Replay:
    """The recorded progress of a run; empty for a new one.

    `agents` are the (agent_id, name) of the agents that started, in order; `handoffs` is the number of handoffs.
    `thoughts` are those of the interrupted turn, `thought_count` is the number of all. `partial_text` is the shown text
    of the interrupted turn, `interrupted_step` its step if it has one; it continues after that text if `continues`, and
    else starts again. `findings` are those in the text of the recorded turns, `partial_findings` those in the text of
    the interrupted one; `partial_taken`: that text is another run's, which has paid for it. `lost_server`: the run was
    at work when its server died. `summaries` are the steps that say what older items the model is shown shortened.
    `unmatched_tools` are the names of tools with an unfinished call that belongs to no turn. `questions` are those that
    the run asked, by id. `worked_s` is how long the run has worked, in seconds, `summary_usage` what its summaries, and
    requests that were cut off, used of the model. `steers` are those that the run has taken. `written` are the steps of
    hand-written agents, `used` is the use of each finished turn of a model, `nested` is the progress of subagents by
    the id of the call that asks them.
    """

    agents: tuple[tuple[str, str], ...] = ()
    handoffs: int = 0
    turns: tuple[PastTurn, ...] = ()
    partial_text: str = field(default="", repr=False)
    interrupted_step: StepRecord | None = field(default=None, repr=False)
    continues: bool = False
    findings: tuple[Finding, ...] = ()
    partial_findings: tuple[Finding, ...] = ()
    partial_taken: bool = False
    thoughts: tuple[str, ...] = field(default=(), repr=False)
    thought_count: int = 0
    last_step: int = 0
    finished_steps: int = 0
    summaries: tuple[StepRecord, ...] = field(default=(), repr=False)
    unmatched_tools: tuple[str, ...] = ()
    questions: Mapping[str, LoggedQuestion] = field(factory=dict, repr=False)
    worked_s: float = 0.0
    summary_usage: Usage = NO_USAGE
    steers: tuple[PastSteer, ...] = ()
    written: tuple[StepRecord, ...] = ()
    used: tuple[Usage, ...] = ()
    nested: "Mapping[str, Replay]" = field(factory=dict, repr=False)
    lost_server: bool = False

    @property
    def speaker(self) -> str | None:
        """The name of the current agent; None if none has started."""
        return self.agents[-1][1] if self.agents else None

    @property
    def recorded_text(self) -> str:
        """The text of the recorded turns."""
        return SEPARATOR.join(turn.reply.text for turn in self.turns if turn.reply.text)

    @property
    def shown_text(self) -> str:
        """The text of the answer that was shown, as far as it was saved."""
        return SEPARATOR.join(part for part in (self.recorded_text, self.partial_text) if part)

    def taken_agent(self, name: str) -> str | None:
        """Return the id of a hand-written agent of this name in the run that this one goes on with; None if none was.

        Its steps are found by that id.
        """
        known = {agent_id for agent_id, _ in self.agents}
        ids = (str((each.arguments or {}).get("agent_id", "")) for each in self.written)
        return next((each for each in ids if each not in known and each.rpartition("-")[0] == name), None)

    def calls_in_doubt(self, agent: Agent | None, client_tools: Collection[str] = ()) -> tuple[str, ...]:
        """Return the names of the calls in doubt that cannot be settled, as their tools are gone.

        `client_tools` are the names of the client's tools: the client makes their calls, whatever dies here.
        """
        names = list(self.unmatched_tools)
        for wanted in self.turns[-1].calls if self.turns else ():
            known = agent is not None and agent.may_have(wanted.request.name)
            if wanted.in_doubt and not known and wanted.request.name not in (RECALL, *client_tools):
                names.append(wanted.request.name)
        return tuple(names)


@frozen
class _RecordedCall:
    """A tool call, in the result of its turn's step. Its id is the server's: models' ids need not be unique."""

    call_id: str
    name: str
    arguments: dict[str, Any]
    whole: bool
    description: str = ""
    problem: str = ""


@frozen
class _RecordedReply:
    """The result of a finished turn's step."""

    text: str
    calls: tuple[_RecordedCall, ...]
    handoff: Handoff | None
    usage: Usage
    thoughts: int
    found: tuple[Finding, ...] = ()
    reasoning: str = ""
    state: ProviderState | None = None
    cut: str = ""
    taken: bool = False


@frozen
class _PartialReply:
    """The result of an unfinished turn's step. `taken`: the text is that of another run."""

    text: str
    found: tuple[Finding, ...] = ()
    taken: bool = False


@frozen
class _RecordedSteer:
    """The result of a steer's step."""

    steer_id: str
    text: str


def steer_step(run_id: str, number: int, steer: SteerAccepted, now: float) -> StepRecord:
    """Return the step of a steer that a run takes now (Unix seconds). Its number keeps its place."""
    result = msgspec.to_builtins(_RecordedSteer(steer.steer_id, steer.content))
    return StepRecord(run_id, number, "steer", steer.mode, None, None, result, "ok", now, now)


def encode_partial(text: str, found: Sequence[Finding], *, taken: bool = False) -> dict[str, Any]:
    """Encode the result of an unfinished turn's step: its shown text, and the findings so far.

    `taken`: the text is that of another run, which this one goes on with.
    """
    built: dict[str, Any] = msgspec.to_builtins(_PartialReply(text, tuple(found), taken))
    return built


def encode_reply(
    reply: Reply,
    call_ids: Sequence[str],
    text: str,
    calls: Sequence[ToolRequest | None],
    thoughts: int,
    found: Sequence[Finding] = (),
) -> dict[str, Any]:
    """Encode the result of a turn's step, which `replay` reads.

    `text` and `calls` are the reply's as they may be stored; None for a call that may not be stored. `thoughts` is the
    number of the run's thoughts so far, `found` are the findings in its text so far.
    """
    recorded = []
    for given, call_id, call in zip(reply.calls, call_ids, calls, strict=True):
        shown = call or ToolRequest(given.id, given.name, {})
        whole = call is not None and shown.arguments == given.arguments
        recorded.append(
            _RecordedCall(call_id, shown.name, dict(shown.arguments), whole, shown.description, shown.problem)
        )
    said = _RecordedReply(
        text,
        tuple(recorded),
        reply.handoff,
        reply.usage,
        thoughts,
        tuple(found),
        reply.reasoning,
        reply.state,
        reply.cut,
    )
    built: dict[str, Any] = msgspec.to_builtins(said)
    return built


def replay(events: Sequence[Event], steps: Sequence[StepRecord]) -> Replay:
    """Rebuild a run's progress from its events and its steps, each in order.

    The steps of a subagent's model have the id of the call that asks it.

    Raises:
        UnreadableSteps: A step cannot be decoded.
        LaterSteps: A step is of a kind that this release does not know.
    """
    if unknown := {step.kind for step in steps}.difference(STEP_KINDS):  # without them, work would be repeated
        raise LaterSteps(f"steps of a later release: {', '.join(sorted(unknown))}")
    started = [each for each in events if isinstance(each, SubagentStarted)]
    owners: list[tuple[str | None, str]] = [(each.call_id, each.agent_id) for each in started]
    below = {agent_id for _, agent_id in owners}

    def told(agent_id: str) -> list[Event]:
        """Return the events that concern one subagent."""
        others = (AgentStarted, AgentHandoff)
        return [
            AgentStarted(agent_id, "", 0.0),
            *(e for e in events if not isinstance(e, others) and getattr(e, "agent_id", agent_id) in (agent_id, "")),
        ]

    def own(call_id: str | None) -> list[StepRecord]:
        """Return the steps of the run, of those of models only those of one agent."""
        mine = (each for each in steps if each.kind != "model" or each.call_id == call_id)
        return [evolve(each, call_id=None) if each.kind == "model" else each for each in mine]

    nested = {
        call_id: evolve(_replay(told(agent_id), own(call_id)), summary_usage=Usage())  # that is counted in the run's
        for call_id, agent_id in owners
        if call_id is not None
    }
    known = {call.call_id for each in nested.values() for turn in each.turns for call in turn.calls}
    top = [each for each in events if not (isinstance(each, AgentThinking) and each.agent_id in below)]
    return evolve(_replay(top, own(None), known), nested=nested)


def _replay(events: Sequence[Event], steps: Sequence[StepRecord], elsewhere: Collection[str] = ()) -> Replay:
    """Rebuild the progress of one agent's work, or of the agents that handed over to each other."""
    agents: list[tuple[str, str]] = []
    thoughts: list[str] = []
    handoffs = 0
    open_calls: dict[str, str] = {}
    announced: set[str] = set()
    durations_s: dict[str, float] = {}
    asked: dict[str, ApprovalRequired] = {}
    decided: dict[str, ApprovalDecided] = {}
    for event in events:
        match event:
            case AgentStarted(agent_id=agent_id):
                agents.append((agent_id, agent_id.rpartition("-")[0]))
            case AgentThinking(thought=thought, by=None):  # one by an operator is no thought of the run's
                thoughts.append(thought)
            case AgentHandoff():
                handoffs += 1
            case ToolExecuting(call_id=call_id, tool_name=name):
                open_calls[call_id] = name
                announced.add(call_id)
            case ToolCompleted(call_id=call_id):
                open_calls.pop(call_id, None)
                durations_s[call_id] = event.duration_ms / 1000
            case ApprovalRequired(call_id=call_id):
                asked[call_id] = event
            case ApprovalDecided(call_id=call_id):
                decided[call_id] = event

    questions = collect_questions(events)
    asking = calls_that_ask(questions)
    tools = {step.call_id: step for step in steps if step.kind == "tool"}
    turns: list[PastTurn] = []
    ended = interrupted = None
    partial = _PartialReply("")
    steers: list[PastSteer] = []
    for step in steps:
        if step.kind == "steer":
            steered = _read(step, _RecordedSteer)
            steers.append(PastSteer(len(turns), steered.steer_id, steered.text))
        if step.kind != "model":
            continue
        if step.ended_at is None:
            interrupted, partial = step, _read(step, _PartialReply)
            continue
        ended = step
        turn = read_turn(step, tools)
        calls = [
            evolve(
                each,
                approval_event=asked.get(each.call_id),
                decision_event=decided.get(each.call_id),
                asking=each.call_id in asking,
                announced=each.step is None or each.result is not None or each.call_id in announced,
            )
            for each in turn.calls
        ]
        turns.append(evolve(turn, calls=tuple(calls)))

    last = turns[-1] if turns else PastTurn(Reply())
    redacted, begun = any(not each.whole for each in last.calls), any(each.step is not None for each in last.calls)
    if interrupted is None and ended is not None and redacted and not begun:  # see 1: the turn is asked again
        interrupted = evolve(ended, result=None, status="started", ended_at=None)
        partial = _PartialReply(last.reply.text, last.findings)
        turns.pop()
        last = turns[-1] if turns else PastTurn(Reply())
    known = {each.call_id for turn in turns for each in turn.calls}.union(elsewhere)
    partial_findings = partial.found[len(last.findings) :]
    return Replay(
        agents=tuple(agents),
        handoffs=handoffs,
        turns=tuple(turns),
        partial_text=partial.text,
        interrupted_step=interrupted,
        continues=bool(partial.text) and all(each.action is Action.FLAG for each in partial_findings),
        findings=last.findings,
        partial_findings=partial_findings,
        partial_taken=partial.taken,
        thoughts=tuple(thoughts[last.thoughts :]),
        thought_count=len(thoughts),
        last_step=max((step.number for step in steps), default=0),
        finished_steps=sum(step.ended_at is not None for step in steps),
        summaries=tuple(step for step in steps if step.kind == "summary"),
        unmatched_tools=tuple(name for call_id, name in open_calls.items() if call_id not in known),
        questions=questions,
        worked_s=worked_s(steps, durations_s),
        summary_usage=sum(
            (usage_of(each) or Usage() for each in steps if each.kind == "summary" or is_cut(each)), Usage()
        ),
        steers=tuple(steers),
        written=tuple(step for step in steps if step.kind in WRITTEN_KINDS and not is_cut(step)),
        used=tuple(usage_of(step) or Usage() for step in steps if _asks_model(step) and step.ended_at is not None),
    )


def is_cut(step: StepRecord) -> bool:
    """Return whether a step only counts what a request used that was cut off, or was for the thread's title."""
    return (step.kind, step.name) in (CUT[:2], TITLE[:2])


def _asks_model(step: StepRecord) -> bool:
    return (step.kind == "ask" and not is_cut(step)) or (step.kind == "model" and step.name != HAND_WRITTEN)


def read_turns(steps: Sequence[StepRecord]) -> tuple[tuple[PastTurn, ...], tuple[PastSteer, ...], str]:
    """Return the finished turns of a run, its steers, and the text that was shown of an unfinished turn.

    Raises:
        UnreadableSteps: A step cannot be decoded.
    """
    tools = {step.call_id: step for step in steps if step.kind == "tool"}
    turns: list[PastTurn] = []
    steers: list[PastSteer] = []
    partial = ""
    for step in steps:
        if step.kind == "steer":
            steered = _read(step, _RecordedSteer)
            steers.append(PastSteer(len(turns), steered.steer_id, steered.text))
        elif step.kind == "model" and step.call_id is not None:
            continue  # a subagent's
        elif step.kind == "model" and step.ended_at is not None:
            turns.append(read_turn(step, tools))
        elif step.kind == "model" and step.result is not None:
            partial = _read(step, _PartialReply).text
    return tuple(turns), tuple(steers), partial


def read_turn(step: StepRecord, tools: Mapping[str | None, StepRecord]) -> PastTurn:
    """Return the turn of a finished step; `tools` are the run's steps of calls that have started, by call id.

    Raises:
        UnreadableSteps: The step cannot be decoded.
    """
    said = _read(step, _RecordedReply)
    calls = []
    for each in said.calls:
        request = ToolRequest(each.call_id, each.name, each.arguments, each.description, each.problem)
        began = tools.get(each.call_id)
        result = None if began is None or began.ended_at is None else _read(began, RecordedResult)
        taken = said.taken and result is not None
        calls.append(PendingCall(request, each.call_id, each.whole, began, result, taken=taken))
    requests = tuple(each.request for each in calls)
    reply = Reply(said.text, requests, said.handoff, said.usage, said.reasoning, said.state, said.cut)
    return PastTurn(reply, tuple(calls), said.thoughts, said.found, step.number, step.arguments, said.taken)


def _read(step: StepRecord, shape: type[_T]) -> _T:
    try:
        return msgspec.convert(step.result, shape)
    except (msgspec.ValidationError, TypeError) as error:
        raise UnreadableSteps(f"step {step.number} of run {step.run_id}") from error
