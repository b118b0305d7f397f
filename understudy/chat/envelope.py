"""The line a human reads beside each event, and the envelope around it. Pure."""

from attrs import evolve

from transport.events import (
    AgentCompleted,
    AgentHandoff,
    AgentProgress,
    AgentStarted,
    AgentThinking,
    Envelope,
    Error,
    Event,
    FinalResponse,
    MessageAccepted,
    RunStatus,
    SanitizationSummary,
    ToolCompleted,
    ToolExecuting,
)

_COMPLETED = {
    RunStatus.SUCCESS: "Done",
    RunStatus.CANCELLED: "Stopped",
    RunStatus.FAILED: "Failed",
    RunStatus.INTERRUPTED: "Interrupted",
}


def line(event: Event) -> str:
    """Say in one line what an event means; empty for events that carry their own text or none."""
    match event:
        case MessageAccepted():
            return "Message received"
        case AgentStarted(message=message) | Error(message=message):
            return message
        case AgentThinking(thought=thought):
            return thought
        case AgentHandoff(to_agent=to_agent, reason=reason):
            return f"Handing over to {to_agent}: {reason}"
        case ToolExecuting(description=description):
            return description
        case ToolCompleted(result_summary=summary):
            return summary
        case AgentProgress(note=note):
            return note
        case SanitizationSummary(counts=counts):
            return f"{sum(counts.values())} findings were taken out"
        case AgentCompleted(status=status) | FinalResponse(status=status):
            return _COMPLETED[status]
    return ""


def wrap(event: Event, around: Envelope, *, now: float, seq: int | None = None) -> Envelope:
    """Put `event` into a copy of the envelope `around` (its thread, run and agent), emitted at `now`, Unix seconds."""
    return evolve(around, event=event, timestamp=now, seq=seq, message=line(event))
