"""A run as spans: agents, turns, calls, consents and subagents, and what it waits for."""

import pytest

from transport.wire.events import Event
from understudy.extensions.operations.timeline import as_json, timeline, waits_for
from understudy.storage.records import StepRecord
from understudy.wire.events import (
    AgentCompleted,
    AgentStarted,
    AgentThinking,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    Envelope,
    FinalResponse,
    MessageAccepted,
    RunStatus,
    SteerAccepted,
    SteerWithdrawn,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)

WORDS = "words of the user"


def at(second: float, event: Event) -> Envelope:
    return Envelope(event, second, agent_type="guide")


def completed(call_id: str, tool: str) -> Envelope:
    return at(12, ToolCompleted("a", call_id, tool, WORDS, WORDS, ToolStatus.FAILED, 4000.0, 12))


BEGIN = [
    at(1, MessageAccepted("m", "r", WORDS)),
    at(2, AgentStarted("a", WORDS, 2)),
    at(4, ToolExecuting("a", "c1", "pay", {"to": WORDS}, WORDS, 4)),
    at(5, ApprovalRequired("a", "c1", "pay", {"to": WORDS}, 99)),
]
END = [
    at(8, ApprovalDecided("c1", ApprovalDecision.ALLOW)),
    at(9, SubagentStarted("b", "c1", "clerk", WORDS, 9)),
    at(11, SubagentCompleted("b", "c1", RunStatus.SUCCESS, Usage(), 11)),
    completed("c1", "pay"),
    at(13, AgentCompleted("a", WORDS, RunStatus.SUCCESS, Usage(), 13)),
    at(13, FinalResponse(WORDS, RunStatus.SUCCESS, Usage())),
]
TURN = StepRecord("r", 1, "model", "m", None, None, {"usage": {"input": 3, "output": 4, "turns": 1}}, "ok", 2.5, 3.5)


def test_a_whole_run_is_a_tree_of_spans_without_words() -> None:
    run = timeline([*BEGIN, *END], [TURN])
    rows = [(span.kind, span.name, span.began, span.ended, span.status, span.parent) for span in run.spans]
    assert rows == [
        ("queue", "", 1, 2, "ok", None),
        ("agent", "guide", 2, 13, "success", None),
        ("model", "m", 2.5, 3.5, "ok", "a"),
        ("tool", "pay", 4, 12, "failed", "a"),
        ("consent", "pay", 5, 8, "allow", "c1"),
        ("subagent", "clerk", 9, 11, "success", "c1"),
    ]
    assert run.waits_for == ""
    document = as_json(run, [TURN])
    assert [row["tokens"] for row in document["spans"] if "tokens" in row] == [7]
    assert document["marks"] == [{"at": 13, "kind": "end", "name": "success"}]
    assert WORDS not in str(document)


def test_a_run_under_way_says_what_it_waits_for() -> None:
    assert [": ".join(filter(None, waits_for(event))) for event in BEGIN] == [
        "queue", "model: guide", "tool: pay", "consent: pay",
    ]  # fmt: skip
    run = timeline(BEGIN, [])
    assert run.waits_for == "consent: pay"
    assert [span.kind for span in run.spans if span.ended is None] == ["agent", "tool", "consent"]


@pytest.mark.parametrize(
    ("then", "waits"),
    [
        ([at(8, ApprovalDecided("c1", ApprovalDecision.ALLOW))], "tool: pay"),
        ([at(6, ToolExecuting("a", "c2", "look", {}, WORDS, 6)), completed("c1", "pay")], "tool: look"),
        ([completed("c1", "pay")], "model: guide"),
    ],
)
def test_a_run_waits_for_the_latest_call_that_has_no_result(then: list[Envelope], waits: str) -> None:
    """The latest event may be that the call is allowed, or that one beside it has ended."""
    assert timeline([*BEGIN, *then], []).waits_for == waits


@pytest.mark.parametrize(
    "event", [AgentThinking("a", WORDS, 6, "taken_over", "op"), SteerAccepted("s", WORDS, "next"), SteerWithdrawn("s")]
)
def test_what_is_said_to_a_run_does_not_change_what_it_waits_for(event: Event) -> None:
    for number in range(1, len(BEGIN) + 1):
        assert timeline([*BEGIN[:number], at(6, event)], []).waits_for == timeline(BEGIN[:number], []).waits_for


def test_a_run_that_was_cut_leaves_nothing_open() -> None:
    """A step of an attempt that was lost has no end; it ends with the run."""
    lost = StepRecord("r", 2, "model", "m", None, None, None, "started", 12.5)
    assert all(span.ended is not None for span in timeline([*BEGIN, *END], [TURN, lost]).spans)
