"""One envelope for every event (more where an event has more than one shape): what the golden files show."""

from collections.abc import Mapping

from transport.wire.events import Drain, Error, Event, PartialResult, Ping, Pong, Resync, Welcome
from understudy.wire.events import (
    AgentCompleted,
    AgentError,
    AgentHandoff,
    AgentProgress,
    AgentStarted,
    AgentThinking,
    Alert,
    AnswerOutcome,
    AnswersRead,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    AskedAgent,
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
    ThreadChanged,
    ThreadTitled,
    ToolCompleted,
    ToolExecuting,
    ToolPartial,
    ToolStatus,
    Typing,
    UndoStarted,
    UndoStatus,
    Usage,
)

WHEN = 1795154400.123  # 2026-11-20T06:00:00.123Z

ARC: Mapping[str, tuple[Event, str]] = {
    "message_accepted": (
        MessageAccepted("message-1", "run-1", "How many rows has orders.csv? 🙂", ("file-1",)),
        "Message accepted",
    ),
    "agent_started": (AgentStarted("guide-1", "Guide is on it", WHEN), "Guide is on it"),
    "agent_thinking": (AgentThinking("guide-1", "The table has to be counted.", WHEN), "The table has to be counted."),
    "agent_handoff": (AgentHandoff("guide", "liaison/insights", "It is about data."), "Handed to insights"),
    "tool_executing": (
        ToolExecuting(
            "guide-1", "call-1", "query_table", {"sql": "SELECT count(*) FROM orders"}, "Counts the rows", WHEN
        ),
        "Counting rows",
    ),
    "subagent_started": (
        SubagentStarted("insights-2", "call-1", "insights", "Insights is on it", WHEN),
        "Insights is on it",
    ),
    "subagent_completed": (
        SubagentCompleted("insights-2", "call-1", RunStatus.SUCCESS, Usage(12, 30, 2), WHEN),
        "Done",
    ),
    "tool_completed": (
        ToolCompleted(
            "guide-1",
            "call-1",
            "query_table",
            {"columns": ["count"], "rows": [[12]]},
            "One row",
            ToolStatus.OK,
            4.5,
            WHEN,
        ),
        "Counted rows",
    ),
    "tool_completed without result": (
        ToolCompleted("guide-1", "call-2", "query_table", None, "", ToolStatus.TIMED_OUT, 20000.0, WHEN),
        "query_table took too long",
    ),
    "sanitization_summary": (
        SanitizationSummary("outbound", {"secrets": 1}, [{"kind": "aws_key", "start": 3, "end": 23}], 80),
        "One finding removed",
    ),
    "sanitization_summary of a tool": (
        SanitizationSummary(
            "tool",
            {"injection": 1},
            [{"kind": "injection.override", "start": 3, "end": 23, "action": "flag"}],
            1,
            {"injection.override": 1},
            2,
            "call-1",
        ),
        "One finding",
    ),
    "tool_completed with findings": (
        ToolCompleted(
            "guide-1",
            "call-3",
            "query_table",
            {"rows": [["[redacted]"]]},
            "One row",
            ToolStatus.OK,
            4.5,
            WHEN,
            [{"category": "secret", "kind": "secret.github", "action": "remove", "count": 1}],
        ),
        "One row",
    ),
    "agent_completed": (
        AgentCompleted("guide-1", "There are 12 rows.", RunStatus.SUCCESS, Usage(9, 4, 2), WHEN),
        "Guide is done",
    ),
    "final_response": (FinalResponse("There are **12** rows.", RunStatus.SUCCESS, Usage(9, 4, 2)), "Answered"),
    "final_response with table": (
        FinalResponse(
            "There are 12 rows.",
            RunStatus.SUCCESS,
            Usage(9, 4, 2),
            data={
                "results": [
                    {
                        "tool_name": "query_table",
                        "result": {"columns": ["count"], "rows": [[12]]},
                        "kind": "analysis",
                    }
                ]
            },
        ),
        "Answered",
    ),
    "final_response with chart": (
        FinalResponse(
            "Here is the chart.",
            RunStatus.SUCCESS,
            Usage(9, 4, 2),
            visualization={"spec": {"mark": "bar"}, "title": "Rows"},
        ),
        "Answered",
    ),
    "final_response cancelled": (FinalResponse("There", RunStatus.CANCELLED, Usage(9, 1, 1)), "Stopped"),
    "error": (
        Error("agent_timeout", "The agent timed out.", True, "e-1", retry_after=2.5),
        "The agent timed out.",
    ),
    "approval_required": (
        ApprovalRequired("guide-1", "call-3", "send_mail", {"to": "anna@example.org"}, WHEN + 300),
        "send_mail needs your consent",
    ),
    "approval_decided": (ApprovalDecided("call-3", ApprovalDecision.DENY, "Not to her."), "Denied"),
    "question_asked": (
        QuestionAsked(
            "run-1.call-3.1",
            "guide-1",
            "Address",
            {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
            WHEN + 300,
            "tool",
            call_id="call-3",
            text="Where shall it go?",
        ),
        "Waiting for your answer: Address",
    ),
    "question_answered": (
        QuestionAnswered("run-1.call-3.1", AnswerOutcome.ANSWERED, {"city": "Ulm"}, "anna", "socket"),
        "Answered",
    ),
    "steer_accepted": (
        SteerAccepted("steer-1", "Only the last quarter.", "next"),
        "Waiting for the next safe point of the run",
    ),
    "steer_accepted with findings": (
        SteerAccepted(
            "steer-2",
            "Use the key [redacted].",
            "now",
            [{"category": "secret", "kind": "secret.github", "action": "remove", "count": 1}],
        ),
        "Waiting for the next safe point of the run",
    ),
    "steer_taken": (SteerTaken("steer-1", 2), "The agent has read it"),
    "steer_withdrawn": (SteerWithdrawn("steer-1"), "Taken back"),
    "steer_withdrawn by the end": (
        SteerWithdrawn("steer-2", "steer-2"),
        "The run ended first: it follows as a message",
    ),
    "call_settled": (CallSettled("call-3", "send_mail", "done", "Sent.", WHEN + 600), "send_mail took effect"),
    "call_settled none": (CallSettled("call-3", "send_mail", "none"), "send_mail took no effect"),
    "undo_started": (UndoStarted(("call-3", "call-2")), "Undoing 2 calls"),
    "call_undone": (CallUndone("call-3", "send_mail", UndoStatus.OK), "send_mail was undone"),
    "call_undone failed": (
        CallUndone("call-3", "send_mail", UndoStatus.FAILED, "It was read.", ("call-2",)),
        "send_mail was not undone: It was read.",
    ),
    "agent_error": (
        AgentError("guide-1", "model_unavailable", "The language model cannot be reached.", True, "e-3"),
        "The language model cannot be reached.",
    ),
    "message_accepted on a branch": (
        MessageAccepted("message-2", "run-2", "And how many columns?", parent_id="answer-run-0", branch_of="message-1"),
        "Message accepted",
    ),
}

PASSING: Mapping[str, tuple[Event, str]] = {
    "agent_progress": (AgentProgress(3.0, "Waiting for a free place", total=10.0), "Waiting for a free place"),
    "tool_partial": (ToolPartial("call-1", 2, [{"page": 3}, "done"]), ""),
    "agent_progress without total": (AgentProgress(1.0, "Still working"), "Still working"),
    "partial_result": (PartialResult("There are ", 0), ""),
}

APART: Mapping[str, tuple[Event, str]] = {
    "error without run": (Error("bad_json", "That was not valid JSON.", False, "e-2"), "That was not valid JSON."),
    "welcome": (
        Welcome(
            connection_id="connection-1",
            user="anna",
            session="session-1",
            version="0.1.0",
            limits={"frame_bytes": 262144},
            heartbeat_s=25.0,
            threads={"thread-1": 7},
            capabilities=("batch", "gzip"),
            session_token="header.claims.signature",
        ),
        "Welcome",
    ),
    "alert": (Alert("Maintenance at noon."), "Maintenance at noon."),
    "alert of a secret": (
        Alert("Your message held a secret.", {"secret.github": 1}, True),
        "Your message held a secret.",
    ),
    "drain": (Drain(5.0), "The server is about to restart"),
    "ping": (Ping(), ""),
    "pong": (Pong("n-1"), ""),
    "pong without nonce": (Pong(), ""),
    "answers read": (AnswersRead({"thread-1": 17}), ""),
    "all answers read": (AnswersRead(), ""),
}

OF_THREAD: Mapping[str, tuple[Event, str]] = {
    "typing": (Typing(), ""),
    "feedback": (FeedbackGiven("answer-run-1", "up"), ""),
    "feedback taken back": (FeedbackGiven("answer-run-1", None), ""),
    "thread titled": (ThreadTitled("Sales of 2025"), ""),
    "thread changed": (ThreadChanged(), ""),
    "thread deleted": (ThreadChanged(deleted=True), ""),
    "resync": (Resync(40), "Read the history"),
}


def _samples() -> Mapping[str, Envelope]:
    envelopes = {name: Envelope(event, WHEN, message=line) for name, (event, line) in APART.items()}
    for name, (event, line) in OF_THREAD.items():
        envelopes[name] = Envelope(event, WHEN, thread_id="thread-1", message=line)
    run = Envelope(
        Ping(),
        WHEN,
        None,
        "thread-1",
        "run-1",
        "message-1",
        conversation_id="guide_session-1",
        agent_type="liaison",
        pillar="insights",
        message="",
    )
    for name, (event, line) in PASSING.items():
        envelopes[name] = run.replace(event=event, message=line)
    for seq, (name, (event, line)) in enumerate(ARC.items(), start=1):
        envelopes[name] = run.replace(event=event, message=line, seq=seq)
    envelopes["final_response of a delegate"] = envelopes["final_response"].replace(asked_agent=AskedAgent("guide"))
    executing = envelopes["tool_executing"]
    envelopes["tool_executing"] = executing.replace(agent_type="guide", pillar=None)
    return dict(sorted(envelopes.items()))


SAMPLES = _samples()
