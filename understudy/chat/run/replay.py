"""The progress of an interrupted run, rebuilt from its logged events and steps. Pure.

1. A recorded turn of the model is not asked again, with one exception: none of its calls has started, and the recorded
   arguments of one were redacted, so that the call cannot be made from them.
2. A finished tool call has its outcome from its step. A call that started and did not finish is in doubt: it is made
   again only if its tool is safe to retry and its arguments were recorded unredacted.
3. Logged events are not published again: agents' starts, thoughts, approval requests and decisions.
4. An interrupted turn continues after the text that was shown. If some of that text was redacted the model could not
   continue it, and the turn is asked from its beginning.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import evolve, field, frozen

from sanitization import Action, Finding
from transport.wire.events import (
    AgentHandoff,
    AgentStarted,
    AgentThinking,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    Event,
    ToolCompleted,
    ToolExecuting,
    Usage,
)
from understudy.agents.agent import Agent
from understudy.models.model import Handoff, Reply, ToolRequest
from understudy.storage.rows import StepRecord

SEPARATOR: Final = "\n\n"
"""Separates the texts of two turns of the model."""


class UnreadableSteps(ValueError):
    """A step of a run cannot be decoded: it is damaged, or of another version."""


@frozen
class PendingCall:
    """A tool call that a model requested, and its recorded progress. `call_id` is the server's own id of it.

    `whole`: the arguments are as the model wrote them, unredacted. `step` is None if the call has not started.
    """

    request: ToolRequest
    call_id: str
    whole: bool = True
    step: StepRecord | None = field(default=None, repr=False)
    approval_event: ApprovalRequired | None = field(default=None, repr=False)
    decision_event: ApprovalDecided | None = field(default=None, repr=False)

    @property
    def done(self) -> bool:
        """Whether the call has finished."""
        return self.step is not None and self.step.ended_at is not None

    @property
    def in_doubt(self) -> bool:
        """Whether the call may have run without its outcome being recorded."""
        if self.step is None or self.done:
            return False
        return self.approval_event is None or (
            self.decision_event is not None and self.decision_event.decision is ApprovalDecision.ALLOW
        )


@frozen
class PastTurn:
    """A recorded turn of the model: its reply and its tool calls."""

    reply: Reply
    calls: tuple[PendingCall, ...] = ()


@frozen
class Replay:
    """The recorded progress of a run; empty for a new one.

    `agents` are the (agent_id, name) of the agents that started, in order; `handoffs` is the number of handoffs.
    `thoughts` are those of the interrupted turn, `thought_count` is the number of all. `partial_text` is the shown text
    of the interrupted turn, `interrupted_step` its step if it has one. `findings` are those in the text of the recorded
    turns, `partial_findings` those in the text of the interrupted one. `unmatched_tools` are the names of tools with an
    unfinished call that belongs to no turn.
    """

    agents: tuple[tuple[str, str], ...] = ()
    handoffs: int = 0
    turns: tuple[PastTurn, ...] = ()
    partial_text: str = field(default="", repr=False)
    interrupted_step: StepRecord | None = field(default=None, repr=False)
    findings: tuple[Finding, ...] = ()
    partial_findings: tuple[Finding, ...] = ()
    thoughts: tuple[str, ...] = field(default=(), repr=False)
    thought_count: int = 0
    last_step: int = 0
    finished_steps: int = 0
    unmatched_tools: tuple[str, ...] = ()

    @property
    def speaker(self) -> str | None:
        """The name of the current agent; None if none has started."""
        return self.agents[-1][1] if self.agents else None

    @property
    def usage(self) -> Usage:
        """The usage of the recorded turns."""
        return sum((turn.reply.usage for turn in self.turns), Usage())

    @property
    def recorded_text(self) -> str:
        """The text of the recorded turns."""
        return SEPARATOR.join(turn.reply.text for turn in self.turns if turn.reply.text)

    @property
    def shown_text(self) -> str:
        """The text of the answer that was shown, as far as it was saved."""
        return SEPARATOR.join(part for part in (self.recorded_text, self.partial_text) if part)

    @property
    def continues(self) -> bool:
        """Whether the interrupted turn continues after the text that was shown."""
        return bool(self.partial_text) and all(each.action is Action.FLAG for each in self.partial_findings)

    def calls_in_doubt(self, agent: Agent | None) -> tuple[str, ...]:
        """Return the names of the tools whose calls are in doubt and not safe to make again."""
        names = list(self.unmatched_tools)
        for wanted in self.turns[-1].calls if self.turns else ():
            tool = None if agent is None else agent.tool(wanted.request.name)
            safe = tool is not None and tool.retry_safe and (wanted.whole or wanted.approval_event is not None)
            if wanted.in_doubt and not safe:
                names.append(wanted.request.name)
        return tuple(names)


@frozen
class _RecordedCall:
    """A tool call, in the result of its turn's step."""

    id: str
    call_id: str
    name: str
    arguments: dict[str, Any]
    whole: bool
    description: str = ""


@frozen
class _RecordedReply:
    """The result of a finished turn's step."""

    text: str
    calls: tuple[_RecordedCall, ...]
    handoff: Handoff | None
    usage: Usage
    thoughts: int
    found: tuple[Finding, ...] = ()


@frozen
class _PartialReply:
    """The result of an unfinished turn's step."""

    text: str
    found: tuple[Finding, ...] = ()


def encode_partial(text: str, found: Sequence[Finding]) -> dict[str, Any]:
    """Encode the result of an unfinished turn's step: its shown text, and the findings so far."""
    built: dict[str, Any] = msgspec.to_builtins(_PartialReply(text, tuple(found)))
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
    kept = []
    for given, call_id, call in zip(reply.calls, call_ids, calls, strict=True):
        shown = call or ToolRequest(given.id, given.name, {})
        whole = call is not None and shown.arguments == given.arguments
        kept.append(_RecordedCall(shown.id, call_id, shown.name, dict(shown.arguments), whole, shown.description))
    said = _RecordedReply(text, tuple(kept), reply.handoff, reply.usage, thoughts, tuple(found))
    built: dict[str, Any] = msgspec.to_builtins(said)
    return built


def replay(events: Sequence[Event], steps: Sequence[StepRecord]) -> Replay:
    """Rebuild a run's progress from its events and its steps, each in order.

    Raises:
        UnreadableSteps: A step cannot be decoded.
    """
    tools = {step.call_id: step for step in steps if step.kind == "tool"}
    models = [step for step in steps if step.kind == "model"]
    asked = {each.call_id: each for each in events if isinstance(each, ApprovalRequired)}
    decided = {each.call_id: each for each in events if isinstance(each, ApprovalDecided)}
    turns, cut = [], None
    for step in models:
        if step.ended_at is None:
            cut = step
            continue
        said = _read(step, _RecordedReply)
        calls = tuple(_pending_call(call, tools, asked, decided) for call in said.calls)
        turns.append((step, said, PastTurn(_reply(said), calls)))
    begun = _PartialReply("") if cut is None else _read(cut, _PartialReply)
    if cut is None and turns and _must_ask_again(turns[-1][2]):
        ended, said, _ = turns.pop()
        begun, cut = _PartialReply(said.text, said.found), evolve(ended, result=None, status="started", ended_at=None)
    known = {wanted.call_id for *_, turn in turns for wanted in turn.calls}
    found = turns[-1][1].found if turns else ()
    thoughts = [each.thought for each in events if isinstance(each, AgentThinking)]
    return Replay(
        agents=_started(events),
        handoffs=sum(isinstance(event, AgentHandoff) for event in events),
        turns=tuple(turn for *_, turn in turns),
        partial_text=begun.text,
        interrupted_step=cut,
        findings=found,
        partial_findings=begun.found[len(found) :],
        thoughts=tuple(thoughts[turns[-1][1].thoughts if turns else 0 :]),
        thought_count=len(thoughts),
        last_step=max((step.number for step in steps), default=0),
        finished_steps=sum(step.ended_at is not None for step in steps),
        unmatched_tools=tuple(name for call_id, name in _open_calls(events).items() if call_id not in known),
    )


def _must_ask_again(turn: PastTurn) -> bool:
    """Whether none of a turn's calls has started, and one cannot start because it was redacted."""
    return any(not each.whole for each in turn.calls) and all(each.step is None for each in turn.calls)


def _read(step: StepRecord, shape: Any) -> Any:
    try:
        return msgspec.convert(step.result, shape)
    except (msgspec.ValidationError, TypeError) as error:
        raise UnreadableSteps(f"step {step.number} of run {step.run_id}") from error


def _reply(said: _RecordedReply) -> Reply:
    calls = tuple(ToolRequest(each.id, each.name, each.arguments, each.description) for each in said.calls)
    return Reply(said.text, calls, said.handoff, said.usage)


@frozen
class _RecordedResult:
    """The result of a finished call's step."""

    value: Any
    summary: str
    visualization: dict[str, Any] | None
    note: str
    suspect: bool


def _pending_call(
    call: _RecordedCall,
    tools: Mapping[str | None, StepRecord],
    asked: Mapping[str, ApprovalRequired],
    decided: Mapping[str, ApprovalDecided],
) -> PendingCall:
    wish, name = ToolRequest(call.id, call.name, call.arguments, call.description), call.call_id
    step = tools.get(name)
    if step is not None and step.ended_at is not None:
        _read(step, _RecordedResult)
    return PendingCall(wish, name, call.whole, step, asked.get(name), decided.get(name))


def _started(events: Sequence[Event]) -> tuple[tuple[str, str], ...]:
    ids = [event.agent_id for event in events if isinstance(event, AgentStarted)]
    return tuple((agent_id, agent_id.rpartition("-")[0]) for agent_id in ids)


def _open_calls(events: Sequence[Event]) -> dict[str, str]:
    calls: dict[str, str] = {}
    for event in events:
        match event:
            case ToolExecuting(call_id=call_id, tool_name=name):
                calls[call_id] = name
            case ToolCompleted(call_id=call_id):
                calls.pop(call_id, None)
    return calls
