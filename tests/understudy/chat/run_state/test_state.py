"""The state of a run: the sequences of events that it accepts and refuses."""

import pytest
from attrs import evolve

from tests.understudy.chat.run_state.arcs import (
    ACCEPTED,
    ALLOWED,
    ASKED,
    CALLED,
    CALLING,
    DONE,
    EXPIRED,
    FAILED,
    REFUSED,
    STARTED,
    arc,
)
from transport.wire.events import Error, Event
from transport.wire.unknown_event import UnknownEvent
from understudy.chat.run_state.records import QuestionRecord, calls_that_ask
from understudy.chat.run_state.state import RunState
from understudy.chat.run_state.transitions import KINDS, NEW, TRANSITIONS, RunProtocolError
from understudy.storage.records import StepRecord
from understudy.wire import events as wire

THINKING = wire.AgentThinking("a", "hm", 1.0)
TAKEN = wire.AgentThinking("a", "An operator has taken over this run", 1.0, "taken_over", "op")
HANDED_BACK = wire.AgentThinking("", "An operator has handed back this run", 1.0, "handed_back", "op")
ANSWER = wire.FinalResponse("hi", wire.RunStatus.SUCCESS, wire.Usage())
FAULT = Error("internal", "no", True, "e")
DENIED = wire.ToolCompleted("a", "c", "echo", None, "", wire.ToolStatus.DENIED, 0.0, 3.0)
BROKEN = wire.ToolCompleted("a", "c", "echo", None, "", wire.ToolStatus.FAILED, 1.0, 3.0)
SUB_STARTED = wire.SubagentStarted("b", "c", "b", "", 2.5)
SUB_ENDED = wire.SubagentCompleted("b", "c", wire.RunStatus.SUCCESS, wire.Usage(), 2.7)
QUESTION = wire.QuestionAsked("q", "a", "Which?", {}, 300.0, "tool")
ANSWERED = wire.QuestionAnswered("q", wire.AnswerOutcome.ANSWERED, {})
STEER = wire.SteerAccepted("s", "left", "next")
STEER_TAKEN = wire.SteerTaken("s", 1)
LATER = UnknownEvent("prophecy", {})
STEP = StepRecord("r", 1, "tool", "echo", "c", {}, None, "started", 2.0)


def test_a_whole_arc_fits() -> None:
    whole = arc(ACCEPTED, STARTED, THINKING, CALLING, CALLED, DONE, ANSWER)
    assert whole.end is not None
    assert whole.usage == wire.Usage(1, 2, 1)


@pytest.mark.parametrize(
    ("so_far", "event"),
    [
        ((), STARTED),
        ((ACCEPTED,), ACCEPTED),
        ((ACCEPTED,), THINKING),
        ((ACCEPTED,), HANDED_BACK),
        ((ACCEPTED, TAKEN), THINKING),
        ((ACCEPTED, TAKEN), TAKEN),
        ((ACCEPTED, STARTED, TAKEN), TAKEN),
        ((ACCEPTED,), CALLING),
        ((ACCEPTED,), ANSWER),
        ((ACCEPTED, STARTED), STARTED),
        ((ACCEPTED, STARTED), CALLED),
        ((ACCEPTED, STARTED), ANSWER),
        ((ACCEPTED, STARTED, CALLING), CALLING),
        ((ACCEPTED, STARTED, CALLING, DONE), ANSWER),
        ((ACCEPTED, STARTED, DONE), DONE),
        ((ACCEPTED, STARTED, DONE, ANSWER), ANSWER),
        ((ACCEPTED, STARTED, DONE, FAULT), THINKING),
        ((ACCEPTED, STARTED), ASKED),
        ((ACCEPTED, STARTED, CALLING), ALLOWED),
        ((ACCEPTED, STARTED, CALLING), DENIED),
        ((ACCEPTED, STARTED, CALLING, ASKED), ASKED),
        ((ACCEPTED, STARTED, CALLING, ASKED), CALLED),
        ((ACCEPTED, STARTED, CALLING, ASKED), DENIED),
        ((ACCEPTED, STARTED, CALLING, ASKED, ALLOWED), REFUSED),
        ((ACCEPTED, STARTED, CALLING, ASKED, ALLOWED), DENIED),
        ((ACCEPTED, STARTED, CALLING, ASKED, REFUSED), CALLED),
        ((ACCEPTED, STARTED, CALLING, ASKED, EXPIRED), CALLED),
        ((ACCEPTED, STARTED, CALLING, ASKED, ALLOWED, CALLED), ALLOWED),
        ((ACCEPTED,), FAILED),
        ((ACCEPTED, STARTED, FAILED), FAILED),
        ((ACCEPTED, STARTED, DONE), FAILED),
        ((ACCEPTED, STARTED, FAILED), FAULT),
        ((ACCEPTED, STARTED, DONE), STARTED),
        ((ACCEPTED, STARTED, CALLING, CALLED), CALLING),
        ((ACCEPTED, STARTED, CALLING), SUB_ENDED),
        ((ACCEPTED, STARTED, CALLING, SUB_STARTED), CALLED),
        ((ACCEPTED, STARTED, CALLING, SUB_STARTED), SUB_STARTED),
        ((ACCEPTED, STARTED, CALLING, SUB_STARTED), evolve(DONE, agent_id="b")),
        ((ACCEPTED, STARTED), SUB_STARTED),
        ((ACCEPTED,), QUESTION),
        ((ACCEPTED, STARTED), evolve(QUESTION, call_id="c")),
        ((ACCEPTED, STARTED, QUESTION), QUESTION),
        ((ACCEPTED, STARTED, QUESTION, ANSWERED), ANSWERED),
        ((ACCEPTED, STARTED, CALLING, evolve(QUESTION, call_id="c"), CALLED), ANSWERED),
        ((ACCEPTED, STEER, STEER_TAKEN), STEER_TAKEN),
        ((ACCEPTED, STEER, STEER_TAKEN), wire.SteerWithdrawn("s")),
        ((ACCEPTED, STEER), STEER),
        ((ACCEPTED,), STEER_TAKEN),
        ((), LATER),
        ((ACCEPTED, STARTED, DONE, ANSWER), LATER),
    ],
)
def test_an_event_out_of_its_order_is_refused_and_changes_nothing(so_far: tuple[Event, ...], event: Event) -> None:
    state = arc(*so_far)
    with pytest.raises(RunProtocolError):
        state.apply(event)
    assert state == arc(*so_far)


@pytest.mark.parametrize(
    "events",
    [
        (ASKED, ALLOWED, CALLED),
        (ASKED, ALLOWED, BROKEN),
        (ASKED, REFUSED, DENIED),
        (ASKED, EXPIRED, DENIED),
        (ASKED, REFUSED, BROKEN),
        (ASKED, BROKEN),
        (BROKEN,),
    ],
)
def test_a_call_that_asks_ends_as_its_user_decided(events: tuple[Event, ...]) -> None:
    whole = arc(ACCEPTED, STARTED, CALLING, *events, DONE, ANSWER)
    assert whole.end is not None


def test_a_queued_run_is_taken_over_and_handed_back() -> None:
    queued = arc(ACCEPTED, TAKEN)
    assert queued.operator == "op"
    queued.apply(HANDED_BACK)
    assert queued.operator is None
    queued.apply(STARTED)


def test_a_call_goes_through_consent_and_a_subagent() -> None:
    state = arc(ACCEPTED, STARTED, CALLING, ASKED)
    assert [call.waits for call in state.open_calls] == [True]
    for event in (ALLOWED, SUB_STARTED):
        state.apply(event)
    assert [agent.agent_id for agent in state.open_agents] == ["a"]
    assert state.calls["c"].state == "delegated"
    for event in (SUB_ENDED, CALLED):
        state.apply(event)
    call = state.calls["c"]
    assert (call.ended, call.worked_s, call.required, call.decided) == (True, 0.001, ASKED, ALLOWED)
    assert state.open_calls == []


def test_questions_stand_with_their_answers() -> None:
    """A call asks only as long as none of its tool's questions was answered: it may have acted after that."""
    first, second = (evolve(QUESTION, question_id=name, call_id="c") for name in ("q", "q2"))
    state = arc(ACCEPTED, STARTED, CALLING, first)
    assert calls_that_ask(state.questions) == {"c"}
    for event in (ANSWERED, second):
        state.apply(event)
    assert state.questions == {"q": QuestionRecord(first, "answered", ANSWERED), "q2": QuestionRecord(second)}
    assert calls_that_ask(state.questions) == set()
    state.apply(CALLED)
    assert [question.state for question in state.questions.values()] == ["answered", "over"]


def test_an_event_of_a_later_release_changes_nothing_else() -> None:
    assert arc(ACCEPTED, LATER) == arc(ACCEPTED)
    assert arc(ACCEPTED, STARTED, LATER, CALLING) == arc(ACCEPTED, STARTED, CALLING)


def test_a_copy_changes_by_itself() -> None:
    state = arc(ACCEPTED, STARTED, CALLING)
    other = state.copy()
    for event in (CALLED, STEER, QUESTION, DONE):
        other.apply(event)
    other.record([STEP])
    assert state == arc(ACCEPTED, STARTED, CALLING)
    assert (len(other.open_calls), len(other.waiting_steers), other.steps) == (0, 1, {1: STEP})


def test_a_trimmed_log_is_read_as_far_as_it_goes() -> None:
    """What began before the first event that is left is passed over, as are events after the end of the run."""
    state = RunState.read(
        "r", [CALLED, DONE, STEER_TAKEN, evolve(CALLING, call_id="d"), wire.CallSettled("d", "echo", "done")]
    )
    assert [call.call_id for call in state.open_calls] == ["d"]
    ended = RunState.read("r", [ANSWER, wire.CallSettled("c", "echo", "done")], [STEP])
    assert (ended.end, ended.steps) == (ANSWER, {1: STEP})


def test_every_row_of_the_table_is_about_something() -> None:
    """Its words are types of events, nouns, or the table's own; each state but the last is reached and left."""
    state_words = {"all_ended", "note", "later_release", "taken_over", "handed_back"}
    assert frozenset[str]().union(*KINDS.values()) <= TRANSITIONS.keys() | state_words | wire.EVENTS.keys()
    for states in TRANSITIONS.values():
        assert states.keys() <= {NEW, *(after for words in states.values() for after in words.values())}
