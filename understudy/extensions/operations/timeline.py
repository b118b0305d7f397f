"""Builds the timeline of a run: spans of its agents, model turns, tool calls and waits for its user. Pure.

It is built from the run's log and recorded steps alone, so it is the same for a running and for an ended run. Spans
have names of agents and tools, and statuses, but no text of a user or a model.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import define, frozen

from transport.wire.events import Error
from understudy.chat.run.meter import usage_of
from understudy.storage.records import StepRecord
from understudy.wire.events import (
    AgentCompleted,
    AgentHandoff,
    AgentStarted,
    AgentThinking,
    ApprovalDecided,
    ApprovalRequired,
    Envelope,
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
)

MOST_SPANS: Final = 2_000
"""Limit of spans in one timeline; the earliest are kept."""
ASIDE: Final = (AgentThinking, SteerAccepted, SteerWithdrawn)
"""Events that do not change what a run waits for: thoughts, and steers that users and operators send meanwhile."""


@define
class Span:
    """A span of time of a run: `kind` is queue, agent, model, tool, consent, question or subagent.

    `began` and `ended` are Unix seconds; `ended` is None while the span lasts. `parent` is the `key` of the enclosing
    span, None at the top.
    """

    key: str
    kind: str
    name: str
    began: float
    ended: float | None = None
    status: str = ""
    parent: str | None = None


@frozen
class Mark:
    """A moment of a run: a steer, a handoff, or the end."""

    at: float
    kind: str
    name: str


@frozen
class Timeline:
    """The spans of a run by their begin, and its marks. `waits_for` says what an unfinished run waits for now."""

    spans: Sequence[Span]
    marks: Sequence[Mark]
    waits_for: str


def waits_for(envelope: Envelope, call: str | None = None) -> tuple[str, str]:
    """Return the kind (as in `Span`) and the name of what a run waits for, after its latest logged event that is not in
    `ASIDE`. `call` is the tool of its latest call without a result, None if all have one."""
    match envelope.event:
        case MessageAccepted():
            return "queue", ""
        case ToolExecuting(tool_name=name):
            return "tool", name
        case ApprovalRequired(tool_name=name):
            return "consent", name
        case QuestionAsked():
            return "question", ""
        case SubagentStarted(agent=name):
            return "subagent", name
    if call is not None:  # the call was allowed, its question answered, or a parallel call has ended
        return "tool", call
    return "model", envelope.pillar or envelope.agent_type or ""


def timeline(envelopes: Iterable[Envelope], steps: Iterable[StepRecord]) -> Timeline:
    """Return the timeline of a run from its events and steps, each in order."""
    spans: dict[str, Span] = {}
    marks: list[Mark] = []
    latest: Envelope | None = None
    for envelope in envelopes:
        if not isinstance(envelope.event, ASIDE):
            latest = envelope
        _apply(envelope, spans, marks)
    for step in steps:
        if step.kind in ("model", "summary", "ask"):
            agent = next((span.key for span in spans.values() if _within(span, step)), None)
            key = f"step {step.number}"
            spans[key] = Span(key, "model", step.name, step.started_at, step.ended_at, step.status, agent)
    ended = bool(marks) and marks[-1].kind == "end"
    waiting = ""
    if ended:
        for span in spans.values():
            span.ended = marks[-1].at if span.ended is None else span.ended
    elif latest is not None:
        calls = [span.name for span in spans.values() if span.kind == "tool" and span.ended is None]
        waiting = ": ".join(filter(None, waits_for(latest, calls[-1] if calls else None)))
    ordered = sorted(spans.values(), key=lambda span: span.began)[:MOST_SPANS]
    return Timeline(ordered, marks, waiting)


def as_json(whole: Timeline, steps: Iterable[StepRecord]) -> dict[str, Any]:
    """Return a timeline as plain data, with the tokens of each turn of the model."""
    used = {f"step {step.number}": usage for step in steps if (usage := usage_of(step)) is not None}
    rows = []
    for span in whole.spans:
        row: dict[str, Any] = {
            "key": span.key, "kind": span.kind, "name": span.name, "began": span.began, "ended": span.ended,
            "status": span.status, "parent": span.parent,
        }  # fmt: skip
        if (usage := used.get(span.key)) is not None:
            row["tokens"] = usage.input + usage.output
        rows.append(row)
    marks = [{"at": mark.at, "kind": mark.kind, "name": mark.name} for mark in whole.marks]
    return {"spans": rows, "marks": marks, "waits_for": whole.waits_for}


def _apply(envelope: Envelope, spans: dict[str, Span], marks: list[Mark]) -> None:
    at = envelope.timestamp
    match envelope.event:
        case MessageAccepted():
            spans["queue"] = Span("queue", "queue", "", at)
        case AgentStarted(agent_id=agent_id):
            _end(spans, "queue", at, "ok")
            name = envelope.pillar or envelope.agent_type or ""
            spans[agent_id] = Span(agent_id, "agent", name, at)
        case AgentCompleted(agent_id=agent_id, status=status):
            _end(spans, agent_id, at, status.value)
        case ToolExecuting(agent_id=agent_id, call_id=call_id, tool_name=name):
            spans[call_id] = Span(call_id, "tool", name, at, parent=agent_id if agent_id in spans else None)
        case SubagentStarted(agent_id=agent_id, call_id=call_id, agent=name):
            spans[agent_id] = Span(agent_id, "subagent", name, at, parent=call_id if call_id in spans else None)
        case SubagentCompleted(agent_id=agent_id, status=status):
            _end(spans, agent_id, at, status.value)
        case ToolCompleted(call_id=call_id, status=status):
            _end(spans, f"consent {call_id}", at, status.value)
            _end(spans, call_id, at, status.value)
        case ApprovalRequired(call_id=call_id, tool_name=name):
            key = f"consent {call_id}"
            spans[key] = Span(key, "consent", name, at, parent=call_id)
        case ApprovalDecided(call_id=call_id, decision=decision):
            _end(spans, f"consent {call_id}", at, decision.value)
        case QuestionAsked(question_id=question_id, call_id=call_id):
            key = f"question {question_id}"
            spans[key] = Span(key, "question", "", at, parent=call_id if call_id in spans else None)
        case QuestionAnswered(question_id=question_id, outcome=outcome):
            _end(spans, f"question {question_id}", at, outcome.value)
        case AgentHandoff(to_agent=to_agent):
            marks.append(Mark(at, "handoff", to_agent))
        case SteerTaken():
            marks.append(Mark(at, "steer", ""))
        case FinalResponse(status=status):
            marks.append(Mark(at, "end", status.value))
        case Error(code=code):
            marks.append(Mark(at, "end", code))


def _end(spans: dict[str, Span], key: str, at: float, status: str) -> None:
    if (span := spans.get(key)) is not None and span.ended is None:
        span.ended, span.status = at, status


def _within(span: Span, step: StepRecord) -> bool:
    """Return whether a step began within this agent's span."""
    return span.kind == "agent" and span.began <= step.started_at and (span.ended or step.started_at) >= step.started_at
