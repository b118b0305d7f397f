"""The translation to UI messages: wherever the events break off, the client has one complete message."""

import pytest

from transport.wire.events import Error, Event, PartialResult
from understudy.extensions.ui.chunks import Chunk, UiTranslator
from understudy.wire.events import (
    AgentStarted,
    AgentThinking,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    Envelope,
    FinalResponse,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
    ToolPartial,
    ToolStatus,
    Usage,
)

CALL = ToolExecuting("a-1", "c", "rows", {"of": "sales"}, "Reads the rows.", 1.0)
DONE = ToolCompleted("a-1", "c", "rows", ["one", "two"], "2 rows", ToolStatus.OK, 5.0, 1.0)
ASKED = ApprovalRequired("a-1", "c", "rows", {"of": "sales"}, 99.0)
ALLOWED = ApprovalDecided("c", ApprovalDecision.ALLOW)
END = FinalResponse("There are two.", RunStatus.SUCCESS, Usage())
RUN: list[Event] = [
    AgentStarted("a-1", "go", 1.0), AgentThinking("a-1", "Looks.", 1.0), PartialResult("I look. ", 0), CALL,
    ToolPartial("c", 0, ["one"]), ToolPartial("c", 1, ["two"]), DONE,
]  # fmt: skip


def translated(translator: UiTranslator, *events: Event) -> list[Chunk]:
    envelopes = [Envelope(event, 1.0, run_id="r", thread_id="t", message_id="m") for event in events]
    return [chunk for envelope in envelopes for chunk in [*translator.translate(envelope), *translator.pause()]]


def kinds(chunks: list[Chunk]) -> list[str]:
    return [chunk["type"] for chunk in chunks]


def check_complete(chunks: list[Chunk]) -> None:
    """One start and one end; each text is closed and each call answered before the end."""
    types = kinds(chunks)
    assert types[0] == "start"
    assert types[-1] in ("finish", "abort", "error")
    assert sum(types.count(kind) for kind in ("finish", "abort", "error")) == 1
    assert types.count("text-start") == types.count("text-end")
    called = {chunk["toolCallId"] for chunk in chunks if chunk["type"] == "tool-input-available"}
    final = [chunk for chunk in chunks if chunk["type"].startswith("tool-output") and not chunk.get("preliminary")]
    assert {chunk["toolCallId"] for chunk in final} == called
    assert len(final) == len(called)


@pytest.mark.parametrize("length", range(len(RUN) + 1))
def test_a_message_is_complete_wherever_its_run_breaks_off(length: int) -> None:
    translator = UiTranslator("t", "r")
    chunks = translated(translator, *RUN[:length])
    check_complete([*chunks, *translator.closing_events("busy")])
    translator = UiTranslator("t", "r")
    chunks = translated(translator, *RUN[:length], Error("agent_failed", "It failed.", True, "e"), END)
    check_complete(chunks)
    assert chunks[-1] == {"type": "error", "errorText": "It failed."}


def test_outputs_grow_and_the_rest_of_the_answer_follows() -> None:
    chunks = translated(UiTranslator("t", "r"), *RUN, FinalResponse("I look. Two.", RunStatus.SUCCESS, Usage()))
    check_complete(chunks)
    assert [chunk["output"] for chunk in chunks if "output" in chunk] == [["one"], ["one", "two"], ["one", "two"]]
    assert [chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta"] == ["I look. ", "Two."]


def test_a_repeated_event_is_sent_once() -> None:
    once, twice = UiTranslator("t", "r"), UiTranslator("t", "r")
    parts: list[Event] = [CALL, DONE, PartialResult("one two", 0), END]
    repeated = [event for event in parts[:3] for _ in (1, 2)]
    assert translated(once, *parts) == translated(twice, *repeated, END)


def test_a_message_pauses_for_a_decision_and_goes_on_with_what_is_new() -> None:
    first = translated(UiTranslator("t", "r"), PartialResult("I ask. ", 0), CALL, ASKED)
    assert kinds(first)[-3:] == ["tool-approval-request", "finish-step", "finish"]
    events = [PartialResult("I ask. ", 0), CALL, ASKED, ALLOWED, DONE, END]
    on = translated(UiTranslator("t", "r", frozenset("c")), *events)
    assert kinds(on)[:3] == ["start", "start-step", "tool-output-available"]
    assert "I ask. " not in str(on)


def test_a_message_does_not_pause_while_another_call_is_at_work() -> None:
    other = ToolExecuting("a-1", "d", "rows", {}, "", 1.0)
    assert "finish" not in kinds(translated(UiTranslator("t", "r"), other, CALL, ASKED))
