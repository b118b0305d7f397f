"""Our events as those of the Responses API: valid for the stock client's types, and whole whatever comes."""

import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.rigs.event_arcs import ARCS, ENVELOPES, RUN, WHEN
from transport.wire.events import Drain, Error, Event, PartialResult, Resync
from understudy.extensions.responses.chat import ChatTranslator, completion
from understudy.extensions.responses.events import ResponsesTranslator, project
from understudy.extensions.responses.objects import ResponseId, ResponseRequest
from understudy.extensions.responses.writer import OPENING, TEXT_BITS
from understudy.wire.events import (
    AgentStarted,
    AgentThinking,
    Alert,
    AnswerOutcome,
    Envelope,
    FinalResponse,
    MessageAccepted,
    QuestionAnswered,
    QuestionAsked,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
RUN_ID = "0" * 32
NAME = ResponseId(RUN_ID)
SETTINGS = ResponseRequest(model="guide", metadata={"a": "b"}, tools=[{"name": "weather"}]).settings
ACCEPTED = MessageAccepted("m", RUN_ID, "Hi", settings=SETTINGS)
USAGE, FIRST = Usage(3, 4, 1), Usage(1, 3, 1)
CALLED = ToolExecuting("a", "c1", "echo", {"text": "x"}, "Echo", WHEN)
DONE = ToolCompleted("a", "c1", "echo", "x", "x", ToolStatus.OK, 1.0, WHEN)


def logged(*events: Event, run_id: str = RUN_ID) -> list[Envelope]:
    """Return events as a thread's log has them; pieces of text have no number."""
    envelopes, seq = [], 0
    for event in events:
        seq += event.durable
        number = seq if event.durable else None
        envelopes.append(Envelope(event, WHEN, number, "t", run_id, "m", conversation_id=None, agent_type="guide"))
    return envelopes


WHOLE = logged(
    ACCEPTED,
    AgentStarted("a", "on it", WHEN),
    AgentThinking("a", "First a look", WHEN),
    PartialResult("Let me ", 0),
    PartialResult("look.", 7),
    CALLED,
    DONE,
    AgentThinking("a", "Now I know", WHEN),
    PartialResult("\n\nIt is 4.", 12),
    FinalResponse("Let me look.\n\nIt is 4. Yes.", RunStatus.SUCCESS, USAGE),
)


def wants(call_id: str, *calls: str, text: str = "") -> list[Event]:
    """Return the events of a call of the client's tool, one of several."""
    started = ToolExecuting("a", call_id, "weather", {"city": call_id}, "Weather", WHEN)
    question, calls = f"{RUN_ID}.{call_id}.1", calls or (call_id,)
    waits = QuestionAsked(question, "a", "?", {}, WHEN, "client", call_id, calls=calls, said=text, usage=FIRST)
    return [started, waits]


def gave(call_id: str) -> list[Event]:
    question = f"{RUN_ID}.{call_id}.1"
    return [
        QuestionAnswered(question, AnswerOutcome.ANSWERED, {"output": "fine"}),
        ToolCompleted("a", call_id, "weather", "fine", "fine", ToolStatus.OK, 1.0, WHEN),
    ]


WAITING = logged(
    ACCEPTED,
    AgentStarted("a", "on it", WHEN),
    PartialResult("A moment.", 0),
    *wants("c1", "c2", "c1", text="A moment."),
    *wants("c2", "c2", "c1", text="A moment."),
    *gave("c2"),
    *gave("c1"),
    PartialResult("\n\nSunny", 9),
    FinalResponse("A moment.\n\nSunny.", RunStatus.SUCCESS, USAGE),
)


def translated(envelopes: Sequence[Envelope], name: ResponseId = NAME, after: int = -1) -> list[dict[str, Any]]:
    """Return the events of a response, each of which the client's types must take."""
    events = project(envelopes, name, after=after)[1]
    for event in events:
        assert EVENT.validate_python(event, strict=True).type == event["type"]
    return events


def text_of(events: Sequence[dict[str, Any]]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def items_of(events: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return the index and id of each item that was finished, in order of the indexes."""
    return sorted((sent["output_index"], sent["item"]["id"]) for sent in events if sent["type"].endswith("item.done"))


def test_a_run_is_a_whole_response() -> None:
    events = translated(WHOLE)
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:3] == ["created", "in_progress", "output_item.added"]
    assert kinds[-5:] == ["output_text.done", "content_part.done", "output_item.done", "output_item.done", "completed"]
    final = Response.model_validate(events[-1]["response"], strict=True)
    assert (final.output_text, final.model, final.metadata) == ("Let me look.\n\nIt is 4. Yes.", "guide", {"a": "b"})
    assert text_of(events) == final.output_text
    expected = ["First a look", 'Calls `echo` with {"text":"x"}', "`echo` (ok): x", "Now I know"]
    assert [part["text"] for part in events[-1]["response"]["output"][0]["summary"]] == expected
    numbers = [event["sequence_number"] for event in events]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 0


def opened_and_closed(events: Sequence[dict[str, Any]]) -> None:
    """Check that items are added in order of their indexes, are done once, and that there is one end."""
    added = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    closed = [event["output_index"] for event in events if event["type"] == "response.output_item.done"]
    assert added == list(range(len(added)))
    assert sorted(closed) == added
    ends = [sent for sent in events if sent["type"] in ("response.completed", "response.failed", "response.incomplete")]
    assert ends == [events[-1]]


@pytest.mark.parametrize("name", ARCS)
def test_each_arc_is_a_response_that_the_client_takes(name: str) -> None:
    apart = Drain, Alert
    events = [RUN.replace(event=event, run_id=None if isinstance(event, apart) else RUN_ID) for event in ARCS[name]]
    stream = translated(events)
    if name != "drained":
        opened_and_closed(stream)


def resumed(envelopes: Sequence[Envelope], name: ResponseId, after: int) -> list[dict[str, Any]]:
    """Return what follows after a number for a client that joins at the end: the log, then the text as a whole."""
    return translated([envelope for envelope in envelopes if envelope.seq is not None], name, after)


@pytest.mark.parametrize(("envelopes", "part"), [(WHOLE, 0), (WAITING, 0), (WAITING, 1)])
def test_after_each_number_the_rest_follows(envelopes: Sequence[Envelope], part: int) -> None:
    """The response is joined from the log alone, or with the same events live: items and text are the same."""
    name = ResponseId(RUN_ID, part)
    complete = translated(envelopes, name)
    for position, event in enumerate(complete):
        for remainder in (resumed(envelopes, name, event["sequence_number"]), None):
            again = translated(envelopes, name, event["sequence_number"]) if remainder is None else remainder
            joined = [*complete[: position + 1], *again]
            assert text_of(joined) == text_of(complete)
            assert items_of(joined) == items_of(complete)
            numbers = [frame["sequence_number"] for frame in joined]
            assert numbers == sorted(set(numbers))
            assert not again or again[-1]["response"] == complete[-1]["response"]


def test_a_run_that_waits_for_its_client_is_several_responses() -> None:
    first, second = translated(WAITING), translated(WAITING, ResponseId(RUN_ID, 1))
    assert project(WAITING, ResponseId(RUN_ID, -1))[0].parts == 1
    assert translated(WAITING, ResponseId(RUN_ID, 2)) != second
    output = first[-1]["response"]["output"]
    calls = [item for item in output if item["type"] == "function_call"]
    assert [(call["call_id"], call["arguments"]) for call in calls] == [
        ("c2", '{"city":"c2"}'),
        ("c1", '{"city":"c1"}'),
    ]
    assert (text_of(first), first[-1]["type"]) == ("A moment.", "response.completed")
    assert (text_of(second), second[-1]["response"]["previous_response_id"]) == ("Sunny.", str(NAME))
    opened_and_closed(first)
    opened_and_closed(second)


def test_a_call_that_fails_before_its_client_is_asked_is_not_waited_for() -> None:
    failed = ToolCompleted("a", "c2", "weather", None, "no", ToolStatus.FAILED, 1.0, WHEN)
    begun = ToolExecuting("a", "c2", "weather", {}, "Weather", WHEN)
    events = translated(logged(ACCEPTED, *wants("c1", "c1", "c2"), begun, failed))
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["reasoning", "function_call"]
    assert events[-1]["type"] == "response.completed"


def test_text_that_replaces_sent_text_is_in_the_end_only() -> None:
    texts = PartialResult("one two", 0), PartialResult("another one", 0), PartialResult(" text", 11)
    events = translated(logged(ACCEPTED, *texts, FinalResponse("another one text", RunStatus.SUCCESS, USAGE)))
    assert text_of(events) == "one two"
    assert Response.model_validate(events[-1]["response"]).output_text == "another one text"


@pytest.mark.parametrize(
    ("end", "kind", "status", "items"),
    [
        (FinalResponse("x", RunStatus.CANCELLED, USAGE), "response.incomplete", "cancelled", ["reasoning", "message"]),
        (FinalResponse("x", RunStatus.SUCCESS, USAGE, {"budget": {}}), "response.incomplete", "incomplete", None),
        (FinalResponse("", RunStatus.SUCCESS, USAGE), "response.completed", "completed", ["reasoning"]),
        (Error("agent_failed", "It broke.", True, "e"), "response.failed", "failed", ["reasoning"]),
    ],
)
def test_each_end_has_its_status(end: Event, kind: str, status: str, items: list[str] | None) -> None:
    events = translated(logged(ACCEPTED, CALLED, end))
    opened_and_closed(events)
    response = events[-1]["response"]
    assert (events[-1]["type"], response["status"]) == (kind, status)
    assert [item["type"] for item in response["output"]] == (items or ["reasoning", "message"])


def test_a_stream_that_ends_before_the_response_says_why() -> None:
    translator = ResponsesTranslator(RUN_ID)
    for envelope in WHOLE[:5]:
        translator.translate(envelope)
    translator.translate(Envelope(Drain(2.0), WHEN))
    (event,) = translator.closing_events("internal")
    assert (EVENT.validate_python(event).type, event["code"]) == ("error", "busy")
    assert event["sequence_number"] & ((1 << TEXT_BITS) - 1) == OPENING + len("Let me look.")
    assert translator.closing_events("internal") == []
    assert translated([Envelope(Resync(9), WHEN)])[-1]["code"] == "not_found"


@given(st.lists(ENVELOPES, max_size=12), st.integers(0, 3), st.booleans())
def test_whatever_comes_the_output_is_well_formed(envelopes: list[Envelope], begin: int, ended: bool) -> None:
    of_run = [envelope.replace(run_id=RUN_ID) if envelope.message_id == "m" else envelope for envelope in envelopes]
    translator = ResponsesTranslator(RUN_ID, message_id="m")
    events = [event for envelope in [*logged(ACCEPTED)[begin:], *of_run] for event in translator.translate(envelope)]
    if ended:
        events += translator.closing_events("busy")
    numbers = [event["sequence_number"] for event in events if event["type"] != "error"]
    assert numbers == sorted(set(numbers))
    if events and events[-1]["type"] in ("response.completed", "response.failed", "response.incomplete"):
        opened_and_closed(events)


def test_ids_are_read_back() -> None:
    run_id = uuid.uuid4().hex
    for name in (ResponseId(run_id), ResponseId(run_id, 12)):
        assert ResponseId.parse(str(name)) == name
    for wrong in ("", "resp_", f"resp_{run_id}_0", f"resp_{run_id}\n", run_id, f"resp_{run_id.upper()}!"):
        assert ResponseId.parse(wrong) is None


def test_a_message_of_another_door_is_a_response_too() -> None:
    accepted = MessageAccepted("m", RUN_ID, "Hi", parent_id=f"answer-{'1' * 32}")
    response = translated(logged(accepted))[0]["response"]
    assert (response["model"], response["previous_response_id"]) == ("guide", f"resp_{'1' * 32}")


def test_chunks_and_completions_have_the_text_and_the_clients_calls() -> None:
    events = project(WAITING, NAME)[1]
    chunks = ChatTranslator(include_usage=True).translate(events)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "A moment."
    assert [delta["tool_calls"][0]["index"] for delta in deltas if "tool_calls" in delta] == [0, 1]
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    later = ChatTranslator(include_usage=True).translate(project(WAITING, ResponseId(RUN_ID, 1))[1])
    assert [stream[-1]["usage"]["total_tokens"] for stream in (chunks, later)] == [4, 3]
    answer = completion(events[-1]["response"])
    assert answer["choices"][0]["message"]["content"] == "A moment."
    assert [call["id"] for call in answer["choices"][0]["message"]["tool_calls"]] == ["c2", "c1"]
    used = ChatTranslator(include_usage=True).translate(project(WHOLE, NAME)[1])[-1]
    assert (used["choices"], used["usage"]["completion_tokens"]) == ([], 4)
