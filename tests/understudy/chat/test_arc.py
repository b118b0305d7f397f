"""The arc of a run, as data: what fits, what breaks it, and how it is ended from any point."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.events import (
    AgentCompleted,
    AgentStarted,
    AgentThinking,
    Error,
    Event,
    FinalResponse,
    MessageAccepted,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)
from understudy.chat.arc import Arc, ArcBroken, Ending

ACCEPTED = MessageAccepted("m", "r", "hello")
STARTED = AgentStarted("a", "on it", 1.0)
THINKING = AgentThinking("a", "hm", 1.0)
CALLING = ToolExecuting("a", "c", "echo", {}, "", 2.0)
CALLED = ToolCompleted("a", "c", "echo", 1, "", ToolStatus.OK, 1.0, 3.0)
DONE = AgentCompleted("a", "", RunStatus.SUCCESS, Usage(1, 2, 1), 4.0)
ANSWER = FinalResponse("hi", RunStatus.SUCCESS, Usage())
FAULT = Error("internal", "no", True, "e")


def arc(*events: Event) -> Arc:
    """An arc that has seen these events."""
    made = Arc("r")
    for event in events:
        made.note(event)
    return made


def test_a_whole_arc_fits() -> None:
    """Accepted, started, thinking, a call and its end, completed, answered."""
    whole = arc(ACCEPTED, STARTED, THINKING, CALLING, CALLED, DONE, ANSWER)
    assert whole.ended
    assert whole.usage == Usage(1, 2, 1)


@pytest.mark.parametrize(
    ("before", "event"),
    [
        ((), STARTED),
        ((ACCEPTED,), ACCEPTED),
        ((ACCEPTED,), THINKING),
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
    ],
)
def test_what_breaks_the_promise_is_refused(before: tuple[Event, ...], event: Event) -> None:
    """Work before its start, an end without a beginning, anything twice, anything after the end."""
    state = arc(*before)
    with pytest.raises(ArcBroken):
        state.note(event)


@pytest.mark.parametrize("ending", Ending)
@pytest.mark.parametrize(
    "before",
    [
        (ACCEPTED,),
        (ACCEPTED, STARTED),
        (ACCEPTED, STARTED, CALLING),
        (ACCEPTED, STARTED, CALLING, CALLED),
        (ACCEPTED, STARTED, DONE),
    ],
)
def test_from_any_point_an_arc_can_be_closed(before: tuple[Event, ...], ending: Ending) -> None:
    """Open calls and agents are completed, and there is exactly one terminal event, the last."""
    state = arc(*before)
    events = state.closing(ending, now=9.0, text="so far", error_id="e1")
    for event in events:
        state.note(event)
    assert state.ended
    last = events[-1]
    if ending is Ending.CANCELLED:
        assert isinstance(last, FinalResponse)
        assert (last.status, last.message) == (RunStatus.CANCELLED, "so far")
    else:
        assert isinstance(last, Error)
        assert (last.code, last.error_id) == (ending.value, "e1")
    assert state.closing(ending, now=9.0) == []


def test_an_interrupted_call_says_so() -> None:
    """Its status is `killed`, its duration is what has passed."""
    call = arc(ACCEPTED, STARTED, CALLING).closing(Ending.INTERRUPTED, now=5.0)[0]
    assert isinstance(call, ToolCompleted)
    assert (call.status, call.duration_ms) == (ToolStatus.KILLED, 3000.0)


@given(st.integers(), st.integers(min_value=0, max_value=30), st.sampled_from(Ending))
def test_however_a_run_went_it_can_be_closed(seed: int, steps: int, ending: Ending) -> None:
    """Any sequence of events that fits can be ended so that the whole still fits."""
    chance = random.Random(seed)
    state = arc(ACCEPTED)
    for number in range(steps):
        agents, calls = [*state.agents, "none"], [*state.calls, "none"]
        choices: list[Event] = [
            AgentStarted(f"a{number}", "", 0.0),
            ToolExecuting(agents[0], f"c{number}", "t", {}, "", 0.0),
            ToolCompleted("a", chance.choice(calls), "t", None, "", ToolStatus.OK, 0.0, 0.0),
            AgentCompleted(chance.choice(agents), "", RunStatus.SUCCESS, Usage(), 0.0),
        ]
        try:
            state.note(chance.choice(choices))
        except ArcBroken:
            continue
    for event in state.closing(ending, now=1.0):
        state.note(event)
    assert state.ended
    assert not state.calls
    assert not state.agents
