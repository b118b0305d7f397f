"""Where the work on a run stands that lost its server, from what the log and its steps say. Pure.

1. A turn of the model whose reply was recorded is not asked again, but for one: whose calls did not begin, where what
   was taken out of them is needed to make them.
2. A tool call that ended has its outcome from its step. Of one that began and did not end nobody knows what it did: it
   is made again only where its tool says that this is safe, and its arguments are known to the last letter.
3. What the log has is not told again: who began, what was thought, what was asked of the user and what they said.
4. A turn that was cut goes on behind what was shown of it. If something was taken out of that, no model could: then it
   is asked from its beginning.
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
"""Between the texts of two turns of the model."""


class UnreadableSteps(ValueError):
    """The steps of a run are not of this version, or damaged."""


@frozen
class PendingCall:
    """A tool call that a model wants, and what is known of it. `call_id` is our own.

    `whole`: the arguments are those that the model wrote, nothing was taken out of them. `step` is None for a call that
    never began; `asked` and `decided` are about its user's consent.
    """

    request: ToolRequest
    call_id: str
    whole: bool = True
    step: StepRecord | None = field(default=None, repr=False)
    approval_event: ApprovalRequired | None = field(default=None, repr=False)
    decision_event: ApprovalDecided | None = field(default=None, repr=False)

    @property
    def done(self) -> bool:
        """Whether it ended."""
        return self.step is not None and self.step.ended_at is not None

    @property
    def in_doubt(self) -> bool:
        """Whether it may have been at work, and nobody knows what came of it."""
        if self.step is None or self.done:
            return False
        return self.approval_event is None or (
            self.decision_event is not None and self.decision_event.decision is ApprovalDecision.ALLOW
        )


@frozen
class PastTurn:
    """A turn of the model that was recorded: its reply, and the calls that it wants made."""

    reply: Reply
    calls: tuple[PendingCall, ...] = ()


@frozen
class Replay:
    """All that is known of a run; an empty one is a run that has not begun.

    `started` are the (agent_id, name) of the agents that were told of, in order, `handed_over` how many handoffs were.
    `thoughts` are those of the turn that was cut, `all_thoughts` how many there are in all. `begun` is what was shown
    of the text of the turn that was cut, `cut` its step, if it has one. `found` is what was found in the text of the
    recorded turns, `found_since` in that of the one that was cut. `lost` are the names of tools at work that no
    turn knows of.
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
        """The name of the agent that is at work; None when none is."""
        return self.agents[-1][1] if self.agents else None

    @property
    def usage(self) -> Usage:
        """What the recorded turns cost."""
        return sum((turn.reply.usage for turn in self.turns), Usage())

    @property
    def recorded_text(self) -> str:
        """The text of the recorded turns."""
        return SEPARATOR.join(turn.reply.text for turn in self.turns if turn.reply.text)

    @property
    def shown_text(self) -> str:
        """All that was shown of the answer, as far as it was kept."""
        return SEPARATOR.join(part for part in (self.recorded_text, self.partial_text) if part)

    @property
    def continues(self) -> bool:
        """Whether the turn that was cut goes on behind what was shown of it."""
        return bool(self.partial_text) and all(each.action is Action.FLAG for each in self.partial_findings)

    def calls_in_doubt(self, agent: Agent | None) -> tuple[str, ...]:
        """The names of the tools of whose calls nobody knows what came of them, and which must not be made again."""
        names = list(self.unmatched_tools)
        for wanted in self.turns[-1].calls if self.turns else ():
            tool = None if agent is None else agent.tool(wanted.request.name)
            safe = tool is not None and tool.retry_safe and (wanted.whole or wanted.approval_event is not None)
            if wanted.in_doubt and not safe:
                names.append(wanted.request.name)
        return tuple(names)


@frozen
class _RecordedCall:
    """A tool call in the step of its turn."""

    id: str
    call_id: str
    name: str
    arguments: dict[str, Any]
    whole: bool
    description: str = ""


@frozen
class _RecordedReply:
    """The result of a turn's step."""

    text: str
    calls: tuple[_RecordedCall, ...]
    handoff: Handoff | None
    usage: Usage
    thoughts: int
    found: tuple[Finding, ...] = ()


@frozen
class _PartialReply:
    """The result of a turn's step while it lasts."""

    text: str
    found: tuple[Finding, ...] = ()


def encode_partial(text: str, found: Sequence[Finding]) -> dict[str, Any]:
    """The result of a turn's step while it lasts: so much of its text was shown, and this found in it and before."""
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
    """The result of a turn's step: all that `replay` needs.

    `text` and `calls` are what may be stored of the reply's; None for a call of which nothing may be. `thoughts` is how
    many the run has told of so far, `found` what was found in its text so far.
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
    """Read where a run stands from its events and its steps, each in order.

    Raises:
        Unreadable: The steps do not tell it.
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
    """Whether a turn's calls did not begin, and cannot."""
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
    """The result of a call's step."""

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
