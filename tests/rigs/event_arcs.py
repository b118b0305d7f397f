"""Arcs of events of whole runs, and a strategy for those that break off, repeat or mix."""

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from transport.wire.events import Drain, Error, Event, PartialResult, Ping, Resync
from understudy.wire.codes import ERRORS
from understudy.wire.events import (
    AgentCompleted,
    AgentError,
    AgentHandoff,
    AgentProgress,
    AgentStarted,
    AgentThinking,
    Alert,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    Envelope,
    FinalResponse,
    MessageAccepted,
    RunStatus,
    SanitizationSummary,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Typing,
    Usage,
)

WHEN = 1795154400.123
RUN = Envelope(Alert(""), WHEN, 1, "t", "our-run", "m", conversation_id="guide_s", agent_type="guide", pillar=None)

ACCEPTED = MessageAccepted("m", "our-run", "Count them")
STARTED = AgentStarted("guide-1", "Guide is on it", WHEN)
CALL = ToolExecuting("guide-1", "c", "query_table", {"sql": "SELECT 1"}, "Counts", WHEN)
DONE = AgentCompleted("guide-1", "12", RunStatus.SUCCESS, Usage(9, 4, 2), WHEN)


def completed(status: ToolStatus, result: object = None, summary: str = "One row") -> ToolCompleted:
    """Return the end of a call."""
    return ToolCompleted("guide-1", "c", "query_table", result, summary, status, 4.5, WHEN)


ARCS: Mapping[str, Sequence[Event]] = {
    "answered": [
        ACCEPTED,
        STARTED,
        SanitizationSummary("inbound", {"secrets": 1}, [{"kind": "aws_key", "start": 0, "end": 4}], 1),
        AgentThinking("guide-1", "It has to be counted.", WHEN),
        CALL,
        AgentProgress(1.0, "step 1", total=2.0),
        completed(ToolStatus.OK, {"rows": [[12]]}),
        PartialResult("There ", 0),
        PartialResult("There are ", 0),
        PartialResult("are **12**", 6),
        DONE,
        FinalResponse("There are **12** rows.", RunStatus.SUCCESS, Usage(9, 4, 2), {"results": []}, {"title": "Rows"}),
    ],
    "denied": [
        ACCEPTED,
        STARTED,
        CALL,
        ApprovalRequired("guide-1", "c", "query_table", {"sql": "SELECT 1"}, WHEN + 300),
        ApprovalDecided("c", ApprovalDecision.DENY, "No."),
        completed(ToolStatus.DENIED, {"error": {"code": "forbidden", "message": "No."}}, "Denied"),
        DONE,
        FinalResponse("I was not allowed to.", RunStatus.SUCCESS, Usage(9, 4, 2)),
    ],
    "handed over": [
        ACCEPTED,
        STARTED,
        AgentHandoff("guide", "insights", "It is about data."),
        DONE,
        AgentStarted("insights-1", "Insights is on it", WHEN),
        AgentCompleted("insights-1", "12", RunStatus.SUCCESS, Usage(), WHEN),
        FinalResponse("12", RunStatus.SUCCESS, Usage()),
    ],
    "failed": [
        ACCEPTED,
        STARTED,
        PartialResult("There", 0),
        CALL,
        completed(ToolStatus.TIMED_OUT, None, "Took too long."),
        AgentError("guide-1", "model_unavailable", "The language model cannot be reached.", True, "e-1"),
        AgentCompleted("guide-1", "There", RunStatus.FAILED, Usage(), WHEN),
        Error("model_unavailable", "The language model cannot be reached.", True, "e-2", 2.5),
    ],
    "cancelled": [
        ACCEPTED,
        STARTED,
        PartialResult("There", 0),
        AgentCompleted("guide-1", "", RunStatus.CANCELLED, Usage(), WHEN),
        FinalResponse("There", RunStatus.CANCELLED, Usage()),
    ],
    "asked another agent": [
        ACCEPTED,
        STARTED,
        CALL,
        SubagentStarted("insights-1", "c", "insights", "Insights is on it", WHEN),
        AgentThinking("insights-1", "It has to be counted.", WHEN),
        ToolExecuting("insights-1", "d", "query_table", {"sql": "SELECT 1"}, "Counts", WHEN),
        ApprovalRequired("insights-1", "d", "query_table", {"sql": "SELECT 1"}, WHEN + 300),
        ApprovalDecided("d", ApprovalDecision.ALLOW),
        ToolCompleted("insights-1", "d", "query_table", 12, "12", ToolStatus.OK, 4.5, WHEN),
        SubagentCompleted("insights-1", "c", RunStatus.SUCCESS, Usage(5, 2, 1), WHEN),
        completed(ToolStatus.OK, "12"),
        DONE,
        FinalResponse("12", RunStatus.SUCCESS, Usage(9, 4, 2)),
    ],
    "drained": [ACCEPTED, STARTED, PartialResult("There", 0), CALL, Drain(5.0)],
}

names = st.sampled_from(["a", "b", "c"])
texts = st.text(max_size=5)
EVENTS = st.one_of(
    st.just(ACCEPTED),
    st.builds(AgentStarted, names, texts, st.just(WHEN)),
    st.builds(AgentThinking, names, texts, st.just(WHEN)),
    st.builds(AgentHandoff, names, names, texts),
    st.builds(ToolExecuting, names, names, texts, st.dictionaries(texts, texts, max_size=2), texts, st.just(WHEN)),
    st.builds(
        ToolCompleted, names, names, texts, texts | st.none(), texts, st.sampled_from(ToolStatus), st.floats(0, 9),
        st.just(WHEN),
    ),
    st.builds(ApprovalRequired, names, names, texts, st.just({}), st.just(WHEN)),
    st.builds(AgentProgress, st.floats(0, 9), texts),
    st.builds(PartialResult, texts, st.integers(0, 9)),
    st.builds(AgentCompleted, names, texts, st.sampled_from(RunStatus), st.just(Usage()), st.just(WHEN)),
    st.builds(FinalResponse, texts, st.sampled_from([RunStatus.SUCCESS, RunStatus.CANCELLED]), st.just(Usage())),
    st.builds(Error, st.sampled_from(sorted(ERRORS)), texts, st.booleans(), texts),
)  # fmt: skip
APART = st.sampled_from(
    [Alert("news"), Drain(2.0), Ping(), Typing(), Resync(9), Error("token_expired", "x", False, "e")]
)
ENVELOPES = st.one_of(
    EVENTS.map(lambda event: RUN.replace(event=event)),
    EVENTS.map(lambda event: RUN.replace(event=event, run_id="another", message_id="n")),
    APART.map(lambda event: Envelope(event, WHEN, message="why")),
)
