"""The events that close a run from wherever it is."""

import random

import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st

from tests.understudy.chat.run_state.arcs import (
    ACCEPTED,
    ALLOWED,
    ASKED,
    CALLED,
    CALLING,
    DONE,
    FAILED,
    REFUSED,
    STARTED,
    arc,
)
from transport.wire.events import Error, Event
from understudy.chat.run_state.endings import Ending, closing_events
from understudy.chat.run_state.state import RunState
from understudy.chat.run_state.transitions import RunProtocolError
from understudy.wire.events import (
    AgentCompleted,
    AgentError,
    AgentStarted,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    FinalResponse,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)


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
    events = closing_events(state, ending, now=9.0, text="so far", error_id="e1")
    for event in events:
        state.apply(event)
    assert state.end is not None
    last = events[-1]
    if ending is Ending.CANCELLED:
        assert isinstance(last, FinalResponse)
        assert (last.status, last.message) == (RunStatus.CANCELLED, "so far")
    else:
        assert isinstance(last, Error)
        assert (last.code, last.error_id) == (ending.value, "e1")
    assert closing_events(state, ending, now=9.0) == []


@pytest.mark.parametrize("ending", Ending)
def test_an_agent_that_could_not_go_on_says_why_before_it_ends(ending: Ending) -> None:
    """A failed agent has an `agent_error` with the words of the final `error`; a cancelled one has none."""
    events = closing_events(arc(ACCEPTED, STARTED, CALLING), ending, now=9.0, sentence="Too bad.", retry_after=9.5)
    kinds = [type(event) for event in events]
    if ending in (Ending.CANCELLED, Ending.INTERRUPTED):
        assert AgentError not in kinds
        return
    assert kinds == [ToolCompleted, AgentError, AgentCompleted, Error]
    failed, ended, last = events[1:]
    assert isinstance(failed, AgentError)
    assert isinstance(last, Error)
    assert isinstance(ended, AgentCompleted)
    assert (failed.agent_id, ended.agent_id, ended.status) == ("a", "a", RunStatus.FAILED)
    assert (last.message, last.retry_after) == ("Too bad.", 9.5)
    assert {**asdict(last), "agent_id": "a"} == asdict(failed)


def test_a_run_that_no_agent_began_has_one_that_failed() -> None:
    events = closing_events(arc(ACCEPTED), Ending.NO_STORAGE, now=9.0, error_id="e1")
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
    call = closing_events(arc(ACCEPTED, STARTED, CALLING, *before), ending, now=5.0, in_doubt=in_doubt)[0]
    assert isinstance(call, ToolCompleted)
    assert (call.duration_ms, call.effect) == (duration_ms, "unknown" if in_doubt else None)
    assert in_doubt or call.result == {"error": {"code": code, "message": call.result_summary}}
    assert call.status is ToolStatus.KILLED or ending is not Ending.INTERRUPTED


@given(st.integers(), st.integers(min_value=0, max_value=30), st.sampled_from(Ending))
def test_however_a_run_went_it_can_be_closed(seed: int, steps: int, ending: Ending) -> None:
    chance = random.Random(seed)
    state = arc(ACCEPTED)
    for number in range(steps):
        agents = [*(agent.agent_id for agent in state.open_agents), "none"]
        calls = [*(call.call_id for call in state.open_calls), "none"]
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
    closing = closing_events(state, ending, now=1.0)
    for event in closing:
        state.apply(event)
    assert state.end is not None
    assert sum(isinstance(event, FinalResponse | Error) for event in closing) == 1
    assert not state.open_calls
    assert not state.open_agents


def test_the_agent_that_is_stopped_at_its_work_has_what_the_run_used() -> None:
    used = Usage(10, 20, 2)
    alone = RunState("r")
    for event in (ACCEPTED, STARTED):
        alone.apply(event)
    completed, final = closing_events(alone, Ending.CANCELLED, now=5.0, usage=used)
    assert isinstance(completed, AgentCompleted)
    assert isinstance(final, FinalResponse)
    assert completed.usage == final.usage == used
