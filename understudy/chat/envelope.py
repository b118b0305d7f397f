"""The summary line of each event for humans, and the envelope around it. Pure."""

from transport.wire.events import Error, Event
from understudy.storage.records import Message, RunRecord
from understudy.wire.events import (
    AgentCompleted,
    AgentError,
    AgentHandoff,
    AgentProgress,
    AgentStarted,
    AgentThinking,
    Alert,
    AnswerOutcome,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    CallSettled,
    CallUndone,
    Envelope,
    FeedbackGiven,
    FinalResponse,
    MessageAccepted,
    QuestionAnswered,
    QuestionAsked,
    RunStatus,
    SanitizationSummary,
    SteerAccepted,
    SteerTaken,
    SteerWithdrawn,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    UndoStarted,
    UndoStatus,
)

_COMPLETED = {
    RunStatus.SUCCESS: "Done",
    RunStatus.CANCELLED: "Stopped",
    RunStatus.FAILED: "Failed",
    RunStatus.INTERRUPTED: "Interrupted",
}

_EFFECTS = {"done": "took effect", "none": "took no effect"}

_DECIDED = {
    ApprovalDecision.ALLOW: "Allowed",
    ApprovalDecision.DENY: "Denied",
    ApprovalDecision.EXPIRED: "Nobody answered in time",
}

_ANSWERED = {
    AnswerOutcome.ANSWERED: "Answered",
    AnswerOutcome.DECLINED: "Not answered",
    AnswerOutcome.EXPIRED: "Nobody answered in time",
}


def summary_line(event: Event) -> str:
    """Say in one line what an event means; empty for events that carry their own text or none."""
    match event:
        case MessageAccepted():
            return "Message received"
        case AgentStarted() | SubagentStarted() | AgentError() | Error() | Alert():
            return event.message
        case AgentThinking(thought=thought):
            return thought
        case AgentCompleted(status=status) | SubagentCompleted(status=status) | FinalResponse(status=status):
            return _COMPLETED[status]
        case AgentHandoff(to_agent=to_agent, reason=reason):
            return f"Handing over to {to_agent}: {reason}"
        case ToolExecuting(description=description):
            return description
        case ToolCompleted(result_summary=summary):
            return summary
        case ApprovalRequired(tool_name=tool_name):
            return f"Waiting for your consent to {tool_name}"
        case ApprovalDecided(decision=decision):
            return _DECIDED[decision]
        case QuestionAsked(title=title):
            return f"Waiting for your answer: {title}"
        case QuestionAnswered(outcome=outcome):
            return _ANSWERED[outcome]
        case SteerAccepted():
            return "Waiting for the next safe point of the run"
        case SteerTaken():
            return "The agent has read it"
        case SteerWithdrawn(message_id=message_id):
            return "Taken back" if message_id is None else "The run ended first: it follows as a message"
        case CallSettled(tool_name=tool_name, effect=effect):
            return f"{tool_name} {_EFFECTS.get(effect, 'may have taken effect')}"
        case UndoStarted(call_ids=call_ids):
            return "Undoing one call" if len(call_ids) == 1 else f"Undoing {len(call_ids)} calls"
        case CallUndone(tool_name=tool_name, status=status, reason=reason):
            return f"{tool_name} was undone" if status is UndoStatus.OK else f"{tool_name} was not undone: {reason}"
        case FeedbackGiven(rating=rating):
            return f"Rated {rating}" if rating else "The rating was removed"
        case AgentProgress(note=note):
            return note
        case SanitizationSummary(findings=findings, omitted=omitted):
            flagged = sum(finding.get("action") == "flag" for finding in findings)
            redacted = len(findings) + (omitted or 0) - flagged
            counts = ((redacted, "redacted"), (flagged, "pointed out"))
            return ", ".join(f"{n} {'item was' if n == 1 else 'items were'} {done}" for n, done in counts if n)
    return ""


def wrap_about_answer(answer: Message, event: Event, *, now: float) -> Envelope:
    """Put an event about a stored answer, which is not logged itself, in an envelope with the answer's names."""
    return Envelope(
        event,
        now,
        thread_id=answer.thread_id,
        run_id=answer.run_id,
        message_id=answer.parent_id,
        agent_type=answer.agent_type,
        pillar=answer.pillar,
        message=summary_line(event),
    )


def wrap_about_run(run: RunRecord, event: Event) -> Envelope:
    """Put an event into an envelope with a run's names, without a time: a template for the events that follow it."""
    return Envelope(
        event,
        0.0,
        thread_id=run.thread_id,
        run_id=run.id,
        message_id=run.message_id,
        conversation_id=run.conversation_id,
        agent_type=run.agent_type,
        pillar=run.pillar,
    )


def wrap(event: Event, around: Envelope, *, now: float, seq: int | None = None) -> Envelope:
    """Put `event` into a copy of the envelope `around` (its thread, run and agent), emitted at `now`, Unix seconds."""
    return around.replace(event=event, timestamp=now, seq=seq, message=summary_line(event))
