"""Builds the report of a run for its user: usage, remaining budget, and the questions it waits for. Pure."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

from msgspec import Meta

from transport.wire.events import Error, Event
from understudy.agents.agent import Agent
from understudy.chat.run.meter import HAND_WRITTEN, Meter, usage_of, worked_s
from understudy.chat.run_state.state import RunState
from understudy.storage.limits import RunLimits
from understudy.storage.records import ENDED, UNFINISHED, RunRecord, StepRecord
from understudy.wire.events import ApprovalRequired, QuestionAsked, Usage


class ListedRun(TypedDict):
    """A run in a list."""

    run_id: str
    thread_id: str
    message_id: str
    status: Annotated[str, Meta(extra_json_schema={"enum": [*UNFINISHED, *ENDED]})]
    agent: str
    agent_type: str
    pillar: str | None
    started_at: float
    ended_at: float | None
    continues: str | None
    restarts: Annotated[int, Meta(ge=0)]


class Steps(TypedDict):
    """The turns and calls of a run so far, and its working time in seconds."""

    turns: Annotated[int, Meta(ge=0)]
    calls: Annotated[int, Meta(ge=0)]
    worked_s: float


class RunReport(ListedRun):
    """The whole state of a run. `budget` has the use of each limit, `budget_left` the remainder; null if unknown."""

    usage: Usage
    steps: Steps
    budget_left: Mapping[str, Any] | None
    budget: Mapping[str, Any] | None
    waits_for: Sequence[Mapping[str, Any]]
    attempts: Annotated[int, Meta(ge=0)]
    error: Mapping[str, Any] | None
    ended_by: Mapping[str, Any] | None


def short_report(run: RunRecord) -> ListedRun:
    """Return a run as an entry of a list."""
    return {
        "run_id": run.id,
        "thread_id": run.thread_id,
        "message_id": run.message_id,
        "status": run.status,
        "agent": run.pillar or run.agent_type,
        "agent_type": run.agent_type,
        "pillar": run.pillar,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "continues": run.continues,
        "restarts": run.restarts,
    }


def report(
    run: RunRecord, events: Sequence[Event], steps: Sequence[StepRecord], agent: Agent | None, limits: RunLimits
) -> RunReport:
    """Return the whole state of a run, from its events and steps, both in order.

    `agent` is the one that the message asked, or None if it no longer exists; then the budget is unknown.
    """
    state = RunState.read(run.id, events, steps)
    settings = {} if state.accepted is None else state.accepted.settings or {}
    error = ended_by = None
    if isinstance(end := state.end, Error):
        error = {"code": end.code, "message": end.message, "error_id": end.error_id}
    elif end is not None:
        ended_by = (end.data or {}).get("budget")
    usage, turns, calls = Usage(), 0, 0
    meter = None if agent is None else Meter.of(agent, limits, settings)
    copied = _copied_calls(steps)
    for step in steps:
        if step.kind == "tool":
            calls += step.call_id not in copied
        elif step.kind == "model" and (step.result or {}).get("taken"):
            continue  # copied from the run that this run continues, which has counted it
        elif (step_usage := usage_of(step)) is not None:
            turns += step.kind == "ask" or (step.kind == "model" and step.name != HAND_WRITTEN)
            usage += step_usage
            if meter is not None:
                meter.add_usage(step_usage)
    time_s = worked_s(steps, state.durations_s)
    left = budget = None
    if meter is not None:
        meter.turns = turns
        meter.add_calls(calls)
        left, counted = meter.left(time_s), meter.spent(time_s)
        budget = {name: {"spent": value, "limit": getattr(meter.budget, name)} for name, value in counted.items()}
    return {
        **short_report(run),
        "usage": usage,
        "steps": {"turns": turns, "calls": calls, "worked_s": round(time_s, 3)},
        "budget_left": left,
        "budget": budget,
        "waits_for": [] if run.ended_at is not None else [_waiting(question) for question in state.waits],
        "attempts": run.attempts,
        "error": error,
        "ended_by": ended_by,
    }


def _copied_calls(steps: Sequence[StepRecord]) -> frozenset[str | None]:
    """Return the ids of the finished calls that were copied from the run that this run continues."""
    turns = [step.result for step in steps if step.kind == "model" and (step.result or {}).get("taken")]
    call_ids = {call["call_id"] for turn in turns for call in turn.get("calls", ())}
    tools = [step for step in steps if step.kind == "tool" and step.call_id in call_ids]
    return frozenset(step.call_id for step in tools if step.ended_at == step.started_at)


def _waiting(event: ApprovalRequired | QuestionAsked) -> dict[str, Any]:
    """Return a question to the user as an entry of `waits_for`."""
    if isinstance(event, ApprovalRequired):
        subject = {"call_id": event.call_id, "tool_name": event.tool_name, "parameters": event.parameters}
        return {"kind": "approval", **subject, "expires_at": event.expires_at}
    subject = {"question_id": event.question_id, "title": event.title, "schema": event.schema}
    return {"kind": "question", **subject, "expires_at": event.expires_at}
