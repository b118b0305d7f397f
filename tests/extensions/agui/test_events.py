"""Our events as AG-UI's: golden files, and whole runs whatever comes."""

import json
from collections.abc import Sequence
from itertools import product
from typing import Any, ClassVar

import ag_ui.core
import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from tests.extensions.agui.checker import Broken, check_run
from tests.extensions.agui.golden import golden_path, golden_text, translated
from tests.rigs.event_arcs import ACCEPTED, ARCS, CALL, ENVELOPES, RUN, STARTED, WHEN
from tests.rigs.event_samples import SAMPLES
from transport.wire.events import Drain, Error, Event, PartialResult, Ping, Resync
from understudy.extensions.agui.events import PROTOCOL_VERSION, AguiTranslator
from understudy.extensions.agui.interrupts import Interrupts
from understudy.extensions.agui.messages import Messages
from understudy.extensions.agui.state import SharedState
from understudy.wire.dialects import OF_CONNECTION
from understudy.wire.events import (
    AnswerOutcome,
    Envelope,
    FinalResponse,
    QuestionAnswered,
    QuestionAsked,
    RunStatus,
    ToolCompleted,
    ToolStatus,
    Usage,
)


def of(*events: Event) -> list[dict[str, Any]]:
    return translated(events)


def kinds(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


@pytest.mark.parametrize("name", ARCS)
def test_each_arc_looks_like_its_golden_file(name: str) -> None:
    assert golden_text(name) == golden_path(name).read_text("utf-8")


@pytest.mark.parametrize("name", ARCS)
def test_each_golden_file_is_a_run_that_a_consumer_takes(name: str) -> None:
    check_run(json.loads(golden_path(name).read_text("utf-8")))


@pytest.mark.parametrize("name", ARCS)
def test_the_checker_misses_nothing(name: str) -> None:
    """A golden run from which any one start, end or result was taken, or in which it comes twice, is refused."""
    events = json.loads(golden_path(name).read_text("utf-8"))
    for place, event in enumerate(events):
        if event["type"].endswith(("_START", "_STARTED", "_END", "_FINISHED", "RUN_ERROR")):
            for broken in ([*events[:place], *events[place + 1 :]], [*events[: place + 1], *events[place:]]):
                with pytest.raises(Broken):
                    check_run(broken)


@given(st.lists(ENVELOPES, max_size=25))
def test_whatever_comes_a_whole_run_goes_out(envelopes: list[Envelope]) -> None:
    """Retries, repeats, broken arcs, other runs, early ends: each opened part is closed, and the run ends once."""
    translator = AguiTranslator("thread", "run", "m")
    events = [event for envelope in envelopes for event in translator.translate(envelope)]
    events += translator.closing_events("internal")
    events += [event for envelope in envelopes for event in translator.translate(envelope)]
    check_run(events)
    json.dumps(events)


@pytest.mark.parametrize("name", ARCS)
def test_a_run_that_breaks_off_is_ended_wherever_it_stands(name: str) -> None:
    """After each event of each arc the stream may be closed."""
    for length in range(len(ARCS[name]) + 1):
        check_run(translated(ARCS[name][:length]))


def test_the_answer_is_told_once_and_whole() -> None:
    """Pieces that overlap, a snapshot from offset 0 and the final text add up to the answer's own text."""
    events = of(
        ACCEPTED, STARTED, PartialResult("One ", 0), PartialResult("One two ", 0), PartialResult("wo three", 5),
        FinalResponse("One two three.", RunStatus.SUCCESS, Usage()),
    )  # fmt: skip
    assert check_run(events).text == "One two three."


def test_an_answer_that_became_another_one_is_not_told_mixed() -> None:
    """A resumed run that repeats its text continues; if its text differs, only the result has the remainder."""
    for remainder, text in (("two three.", "One two three."), ("and other words.", "One two")):
        events = of(
            ACCEPTED, STARTED, PartialResult("One two", 0), PartialResult("One ", 0), PartialResult(remainder, 4),
            PartialResult("", 4 + len(remainder)), FinalResponse(f"One {remainder}", RunStatus.SUCCESS, Usage()),
        )  # fmt: skip
        assert check_run(events).text == text


def test_what_the_client_is_told_of_how_a_run_ended() -> None:
    cancelled = of(*ARCS["cancelled"])[-1]
    assert (cancelled["type"], cancelled["outcome"]) == ("RUN_FINISHED", {"type": "cancelled"})
    failed = of(*ARCS["failed"])[-1]
    assert (failed["type"], failed["code"]) == ("RUN_ERROR", "model_unavailable")


def test_the_end_of_a_stream_says_why() -> None:
    expired = Error("token_expired", "The session token has run out; renew it.", False, "e")
    for event, code in ((expired, "token_expired"), (Drain(5.0), "busy"), (Ping(), "internal")):
        translator = AguiTranslator("thread", "run", "m")
        translator.translate(RUN.replace(event=ACCEPTED))
        translator.translate(Envelope(event, WHEN, message="why"))
        assert translator.closing_events("internal")[-1]["code"] == code


def test_our_names_go_along_and_the_clients_own_are_given_back() -> None:
    """The members of the protocol have the client's thread and run, the metadata has ours and the version."""
    first = of(ACCEPTED)[0]
    assert (first["threadId"], first["runId"], first["protocolVersion"]) == ("thread", "run", "1.0")
    assert first["metadata"] == {"understudy": {"run_id": "our-run", "message_id": "m"}}
    assert ag_ui.core.PROTOCOL_VERSION == PROTOCOL_VERSION
    parent = AguiTranslator("thread", "run", "m", "parent")
    assert parent.translate(RUN.replace(event=ACCEPTED))[0]["parentRunId"] == "parent"


def test_agents_of_one_kind_have_steps_of_their_own() -> None:
    events = of(ACCEPTED, STARTED, evolve(STARTED, agent_id="guide-2"))
    assert [event["stepName"] for event in events if event["type"] == "STEP_STARTED"] == ["guide", "guide-2"]
    check_run(events)


@pytest.mark.parametrize("name", ARCS)
def test_a_run_is_joined_wherever_it_stands(name: str) -> None:
    """The client that joins has the messages of the one that was there from the beginning, and the same state. A
    question that is open is asked again, or is an interrupt.
    """
    complete = check_run(translated(ARCS[name]))
    for length, pauses in product(range(1, len(ARCS[name]) + 1), (False, True)):
        translator = AguiTranslator("thread", "run", "m", pauses=pauses, state=SharedState({"mine": 1}))
        before, after = ARCS[name][:length], ARCS[name][length:]
        so_far = [event for event in before if isinstance(event, PartialResult)]
        text = "".join(event.text for event in so_far if event.offset or event is so_far[0])
        log = [event for event in before if event.durable]
        messages, sent = Messages(), list[dict[str, Any]]()
        for seq, event in enumerate(log, 1):
            sent += translator.translate(RUN.replace(event=event, seq=seq))
        messages.apply(sent)
        sent = [*translator.opening(messages.all), *(sent[-1:] if translator.ended else translator.pause())]
        for event in (PartialResult(text, 0), *after):
            sent += translator.translate(RUN.replace(event=event, seq=9 if event.durable else None))
        joined = check_run(sent + translator.closing_events("internal"))
        if not (sent[-1].get("outcome", {}).get("type") == "interrupt" or name == "drained"):
            assert (joined.calls_made, joined.state) == (complete.calls_made, complete.state)
            assert joined.text == complete.text


def test_a_question_is_asked_of_who_joins() -> None:
    """The question is an event of its kind, or an interrupt of the suspended subagent that raised it."""
    arc = ARCS["asked another agent"][:7]
    for pauses in (False, True):
        translator = AguiTranslator("thread", "run", "m", pauses=pauses)
        for event in arc:
            translator.translate(RUN.replace(event=event))
        events = [*translator.opening([]), *translator.pause()]
        custom = [event for event in events if event["type"] == "CUSTOM"]
        assert [(frame["name"], frame["subagentRunId"]) for frame in custom] == [("approval_required", "insights-1")]
    suspended = next(event for event in events if event["type"] == "SUBAGENT_FINISHED")
    assert suspended["outcome"] == {"type": "suspended", "interruptIds": ["d"]}
    (interrupt,) = events[-1]["outcome"]["interrupts"]
    assert (interrupt["id"], interrupt["subagentRunId"]) == ("d", "insights-1")


@pytest.mark.promise("wire.agui-client-tools")
def test_a_call_of_the_clients_tool_stays_open() -> None:
    """The run ends for its client, whether it takes interrupts or not, once all its calls are asked about; what its
    program is asked is no event of its own. The result has the id that it has at the client.
    """
    calls = [evolve(CALL, call_id=name) for name in "cd"]
    questions = [QuestionAsked(f"q{name}", "guide-1", "Run it", {}, WHEN + 9, "client", name) for name in "cd"]
    translator = AguiTranslator("thread", "run", "m", result_ids={"c": "mine"}, server_run_id="our-run")
    events = list[dict[str, Any]]()
    for event in (ACCEPTED, STARTED, *calls, *questions):
        assert translator.pause() == []
        events += translator.translate(RUN.replace(event=event))
    events += translator.pause()
    check_run(events)
    assert events[-1]["outcome"] == {"type": "success", "pendingToolCallIds": ["c", "d"]}
    assert "CUSTOM" not in kinds(events)
    joined = AguiTranslator("t", "r", "m", waits=Interrupts(frozenset({"qc"})), result_ids={"c": "mine"})
    for event in (ACCEPTED, STARTED, *calls, *questions):
        joined.translate(RUN.replace(event=event))
    assert joined.pause() == []  # the result was given, and is not in the log yet
    completed = ToolCompleted("guide-1", "c", "query_table", "1", "One", ToolStatus.OK, 1.0, WHEN)
    later = [
        joined.translate(RUN.replace(event=ended))
        for ended in (QuestionAnswered("qc", AnswerOutcome.ANSWERED), completed)
    ]
    assert [frame["messageId"] for frame in later[1] if frame["type"] == "TOOL_CALL_RESULT"] == ["mine"]
    assert joined.pause()[-1]["outcome"]["pendingToolCallIds"] == ["d"]


def test_the_usage_is_told_by_model() -> None:
    """A subagent's usage is counted once; usage that no agent has reported is the first agent's."""
    by_model = of(*ARCS["asked another agent"])[-1]["usage"]
    assert [(usage["provider"], usage["inputTokens"], usage["outputTokens"]) for usage in by_model] == [
        ("anthropic", 5, 2), ("openai", 4, 2),
    ]  # fmt: skip


def test_a_log_that_was_trimmed_ends_the_run_at_once() -> None:
    translator = AguiTranslator("thread", "run", "m")
    events = translator.translate(Envelope(Resync(9), WHEN, thread_id="t"))
    assert (kinds(events), events[0]["code"]) == (["RUN_ERROR"], "not_found")


def test_a_run_that_was_trimmed_from_the_log_ends_at_once() -> None:
    """Its message is known and was answered: the acceptance has no number, and nothing follows it."""
    events = AguiTranslator("thread", "run", "m").translate(RUN.replace(event=ACCEPTED, seq=None))
    assert (kinds(events), events[0]["code"]) == (["RUN_ERROR"], "not_found")


@frozen
class Added(Event):
    """An event that a later version adds."""

    type: ClassVar[str] = "added"
    note: str


def added_by(event: Event) -> list[str]:
    """Return the types of the AG-UI events for an event of a run that has started."""
    translator = AguiTranslator("thread", "run", "m")
    translator.translate(RUN.replace(event=ACCEPTED))
    return kinds(translator.translate(RUN.replace(event=event, seq=2)))


@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if isinstance(sample.event, OF_CONNECTION)])
def test_an_event_of_the_connection_is_none_of_a_run(name: str) -> None:
    assert added_by(SAMPLES[name].event) == []


def test_an_event_of_a_later_version_is_a_custom_one() -> None:
    assert added_by(Added("n")) == ["CUSTOM"]
