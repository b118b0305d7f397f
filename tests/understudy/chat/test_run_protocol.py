"""The protocol state of a run: the sequences that it accepts and rejects, and its closing events."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.wire.events import Error, Event
from understudy.chat.run_protocol import Ending, RunProtocol, RunProtocolError
from understudy.wire.events import (
    AgentCompleted,
    AgentError,
    AgentStarted,
    AgentThinking,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    FinalResponse,
    MessageAccepted,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)

ACCEPTED = MessageAccepted("m", "r", "hello")
STARTED = AgentStarted("a", "on it", 1.0)
THINKING = AgentThinking("a", "hm", 1.0)
TAKEN = AgentThinking("a", "An operator has taken over this run", 1.0, "taken_over", "op")
HANDED_BACK = AgentThinking("", "An operator has handed back this run", 1.0, "handed_back", "op")
CALLING = ToolExecuting("a", "c", "echo", {}, "", 2.0)
CALLED = ToolCompleted("a", "c", "echo", 1, "", ToolStatus.OK, 1.0, 3.0)
DONE = AgentCompleted("a", "", RunStatus.SUCCESS, Usage(1, 2, 1), 4.0)
ANSWER = FinalResponse("hi", RunStatus.SUCCESS, Usage())
FAULT = Error("internal", "no", True, "e")
ASKED = ApprovalRequired("a", "c", "echo", {}, 300.0)
ALLOWED, REFUSED, EXPIRED = (ApprovalDecided("c", each) for each in ApprovalDecision)
DENIED = ToolCompleted("a", "c", "echo", None, "", ToolStatus.DENIED, 0.0, 3.0)
BROKEN = ToolCompleted("a", "c", "echo", None, "", ToolStatus.FAILED, 1.0, 3.0)
FAILED = AgentError("a", "internal", "no", True, "e")


def arc(*events: Event) -> RunProtocol:
    made = RunProtocol("r")
    for event in events:
        made.apply(event)
    return made


def test_a_whole_arc_fits() -> None:
    whole = arc(ACCEPTED, STARTED, THINKING, CALLING, CALLED, DONE, ANSWER)
    assert whole.ended
    assert whole.usage == Usage(1, 2, 1)


@pytest.mark.parametrize(
    ("before", "event"),
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
    ],
)
def test_what_breaks_the_promise_is_refused(before: tuple[Event, ...], event: Event) -> None:
    state = arc(*before)
    with pytest.raises(RunProtocolError):
        state.apply(event)


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
    assert whole.ended


def test_a_queued_run_is_taken_over_and_handed_back() -> None:
    queued = arc(ACCEPTED, TAKEN)
    assert queued.operator == "op"
    queued.apply(HANDED_BACK)
    assert queued.operator is None
    queued.apply(STARTED)


@pytest.mark.parametrize("ending", Ending)
@pytest.mark.parametrize(
    "before",
    [
        (ACCEPTED,),
        (ACCEPTED, STARTED),
        (ACCEPTED, STARTED, CALLING),
        (ACCEPTED, STARTED, CALLING, CALLED),
        (ACCEPTED, STARTED, CALLING, ASKED),
        (ACCEPTED, STARTED, CALLING, ASKED, ALLOWED),
        (ACCEPTED, STARTED, CALLING, ASKED, REFUSED),
        (ACCEPTED, STARTED, FAILED),
        (ACCEPTED, STARTED, DONE),
    ],
)
def test_from_any_point_an_arc_can_be_closed(before: tuple[Event, ...], ending: Ending) -> None:
    state = arc(*before)
    events = state.closing_events(ending, now=9.0, text="so far", error_id="e1")
    for event in events:
        state.apply(event)
    assert state.ended
    last = events[-1]
    if ending is Ending.CANCELLED:
        assert isinstance(last, FinalResponse)
        assert (last.status, last.message) == (RunStatus.CANCELLED, "so far")
    else:
        assert isinstance(last, Error)
        assert (last.code, last.error_id) == (ending.value, "e1")
    assert state.closing_events(ending, now=9.0) == []


@pytest.mark.parametrize("ending", Ending)
def test_an_agent_that_could_not_go_on_says_why_before_it_ends(ending: Ending) -> None:
    """A failed agent has an `agent_error` with the words of the final `error`; a cancelled one has none."""
    events = arc(ACCEPTED, STARTED, CALLING).closing_events(ending, now=9.0, sentence="Too bad.", error_id="e1")
    kinds = [type(event) for event in events]
    if ending in (Ending.CANCELLED, Ending.INTERRUPTED):
        assert AgentError not in kinds
        return
    assert kinds == [ToolCompleted, AgentError, AgentCompleted, Error]
    told, ended, last = events[1:]
    assert isinstance(told, AgentError)
    assert isinstance(last, Error)
    assert isinstance(ended, AgentCompleted)
    assert (told.agent_id, ended.agent_id, ended.status) == ("a", "a", RunStatus.FAILED)
    assert (told.code, told.message, told.retryable, told.error_id) == (
        last.code,
        "Too bad.",
        last.retryable,
        last.error_id,
    )


def test_a_run_that_no_agent_began_has_one_that_failed() -> None:
    events = arc(ACCEPTED).closing_events(Ending.NO_STORAGE, now=9.0, error_id="e1")
    assert [type(event) for event in events] == [AgentStarted, AgentError, AgentCompleted, Error]


@pytest.mark.parametrize(
    ("before", "ending", "in_doubt", "code", "duration_ms"),
    [
        ((), Ending.CANCELLED, [], "run_cancelled", 3000.0),
        ((), Ending.CANCELLED, ["c"], "run_cancelled", 3000.0),
        ((), Ending.TIMED_OUT, [], "agent_timeout", 3000.0),
        ((), Ending.INTERRUPTED, [], "run_interrupted", 3000.0),
        ((), Ending.FAILED, [], "agent_failed", 3000.0),
        ((ASKED,), Ending.INTERRUPTED, [], "run_interrupted", 0.0),  # what waits takes no time
    ],
)
def test_a_call_that_is_cut_says_why_and_whether_its_effect_is_known(
    before: tuple[Event, ...], ending: Ending, in_doubt: list[str], code: str, duration_ms: float
) -> None:
    call = arc(ACCEPTED, STARTED, CALLING, *before).closing_events(ending, now=5.0, in_doubt=in_doubt)[0]
    assert isinstance(call, ToolCompleted)
    assert (call.duration_ms, call.effect) == (duration_ms, "unknown" if in_doubt else None)
    assert in_doubt or call.result == {"error": {"code": code, "message": call.result_summary}}
    assert call.status is ToolStatus.KILLED or ending is not Ending.INTERRUPTED


@given(st.integers(), st.integers(min_value=0, max_value=30), st.sampled_from(Ending))
def test_however_a_run_went_it_can_be_closed(seed: int, steps: int, ending: Ending) -> None:
    chance = random.Random(seed)
    state = arc(ACCEPTED)
    for number in range(steps):
        agents, calls = [*state.agents, "none"], [*state.calls, "none"]
        choices: list[Event] = [
            AgentStarted(f"a{number}", "", 0.0),
            ToolExecuting(agents[0], f"c{number}", "t", {}, "", 0.0),
            ToolCompleted("a", chance.choice(calls), "t", None, "", chance.choice([*ToolStatus]), 0.0, 0.0),
            ApprovalRequired("a", chance.choice(calls), "t", {}, 0.0),
            ApprovalDecided(chance.choice(calls), chance.choice([*ApprovalDecision])),
            AgentError(chance.choice(agents), "internal", "", True, "e"),
            AgentCompleted(chance.choice(agents), "", RunStatus.SUCCESS, Usage(), 0.0),
        ]
        try:
            state.apply(chance.choice(choices))
        except RunProtocolError:
            continue
    closing = state.closing_events(ending, now=1.0)
    for event in closing:
        state.apply(event)
    assert state.ended
    assert sum(isinstance(event, FinalResponse | Error) for event in closing) == 1
    assert not state.calls
    assert not state.agents


def test_the_agent_that_is_stopped_at_its_work_has_what_the_run_used() -> None:
    used = Usage(10, 20, 2)
    alone = RunProtocol("r")
    for event in (ACCEPTED, STARTED):
        alone.apply(event)
    completed, final = alone.closing_events(Ending.CANCELLED, now=5.0, usage=used)
    assert isinstance(completed, AgentCompleted)
    assert isinstance(final, FinalResponse)
    assert completed.usage == final.usage == used
