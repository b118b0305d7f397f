"""The events that end a run which can no longer end itself; they keep 1 to 3 of `run_state.transitions`. Pure."""

import enum
from collections.abc import Collection
from typing import Final

from attrs import asdict

from transport.wire.events import Error, Event
from understudy.chat.run_state.records import AgentRecord, ToolCallRecord
from understudy.chat.run_state.state import RunState
from understudy.wire.codes import ERRORS
from understudy.wire.events import (
    ENDED_BY_OPERATOR,
    AgentCompleted,
    AgentError,
    AgentStarted,
    AgentThinking,
    FinalResponse,
    RunStatus,
    SubagentCompleted,
    ToolCompleted,
    ToolStatus,
    Usage,
)


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


def closing_events(
    run: RunState,
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
    """Return the events that end a run from where it is, in order; an empty list if it has ended.

    An agent that could not go on has an `AgentError` before its end, with the words and the `error_id` of the final
    `Error`; one that was cancelled or interrupted has none. `now` is in Unix seconds, `text` the answer streamed so
    far, which no later event has after an error; `sentence` replaces the error code's own text, `retry_after` is in
    seconds, and without `retryable` the error is not, whatever its code. The open calls `in_doubt` may have taken
    effect. `usage` is that of the run, by default that of its agents that have completed. If an `operator` has
    cancelled the run, a notice says so, with the `reason` if they gave one.
    """
    if run.end is not None:
        return []
    status, error = _AGENT_STATUS.get(ending, RunStatus.FAILED), None
    if ending.value is not None:
        code = ERRORS[ending.value]
        error = Error(code.name, sentence or code.text, code.retryable and retryable, error_id, retry_after)
    events: list[Event] = []
    agent_ids = {agent.call_id: agent.agent_id for agent in run.agents.values() if agent.state == "asked"}
    for call in reversed(run.open_calls):
        if (agent_id := agent_ids.get(call.call_id)) is not None:
            events.append(SubagentCompleted(agent_id, call.call_id, status, Usage(), now))
        events.append(_close_call(call, ending, now, "unknown" if call.call_id in in_doubt else None))
    agents = run.open_agents
    if not run.agents:
        agents = [AgentRecord(f"none-{run.run_id}", "working")]
        events.append(AgentStarted(agents[0].agent_id, "No agent could begin", now))
    if ending is Ending.CANCELLED and operator is not None:
        agent_id = agents[-1].agent_id if agents else ""
        events.append(AgentThinking(agent_id, operators_act("ended", reason), now, ENDED_BY_OPERATOR, operator, reason))
    unreported = usage if usage is not None and run.usage == Usage() else Usage()  # of the one agent that was at work
    for agent in reversed(agents):
        if error is not None and status is RunStatus.FAILED and agent.state != "failed":
            events.append(AgentError(agent.agent_id, **asdict(error)))
        events.append(AgentCompleted(agent.agent_id, text if error is not None else "", status, unreported, now))
        unreported = Usage()
    events.append(error or FinalResponse(text, RunStatus.CANCELLED, run.usage if usage is None else usage))
    return events


def operators_act(act: str, reason: str | None) -> str:
    """Return the sentence that tells a user what an operator has done with their run."""
    return f"An operator has {act} this run{'' if reason is None else f': {reason}'}"


def _close_call(call: ToolCallRecord, ending: Ending, now: float, effect: str | None) -> ToolCompleted:
    status = _CALL_STATUS.get(ending, ToolStatus.FAILED)
    fault = {"code": ending.value or CANCELLED, "message": _CALL_TEXT[status]}
    names, text = (call.agent_id, call.call_id, call.tool_name), _CALL_TEXT[status]
    worked_ms = 0.0 if call.waits else max(0.0, now - call.began_at) * 1000
    return ToolCompleted(*names, {"error": fault}, text, status, worked_ms, now, effect=effect)
