"""The events that close a run from wherever it is."""

import random

import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st

from tests.understudy.chat.run_state.arcs import ACCEPTED, ASKED, CALLING, STARTED, arc
from transport.wire.events import Error, Event
from understudy.chat.run_state.endings import Ending, closing_events
from understudy.chat.run_state.transitions import RunProtocolError
from understudy.wire import events as wire


@pytest.mark.parametrize("ending", Ending)
def test_an_agent_that_could_not_go_on_says_why_before_it_ends(ending: Ending) -> None:
    """A failed agent has an `agent_error` with the words of the final `error`; a cancelled one has none."""
    events = closing_events(arc(ACCEPTED, STARTED, CALLING), ending, now=9.0, sentence="Too bad.", retry_after=9.5)
    kinds = [type(event) for event in events]
    if ending in (Ending.CANCELLED, Ending.INTERRUPTED):
        assert wire.AgentError not in kinds
        return
    assert kinds == [wire.ToolCompleted, wire.AgentError, wire.AgentCompleted, Error]
    failed, ended, last = events[1:]
    assert (failed.agent_id, ended.agent_id, ended.status) == ("a", "a", wire.RunStatus.FAILED)
    assert (last.message, last.retry_after) == ("Too bad.", 9.5)
    assert {**asdict(last), "agent_id": "a"} == asdict(failed)


def test_a_run_that_no_agent_began_has_one_that_failed() -> None:
    events = closing_events(arc(ACCEPTED), Ending.NO_STORAGE, now=9.0, error_id="e1")
    assert [type(event) for event in events] == [wire.AgentStarted, wire.AgentError, wire.AgentCompleted, Error]


@pytest.mark.parametrize(
    ("so_far", "ending", "in_doubt", "code", "duration_ms"),
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
    so_far: tuple[Event, ...], ending: Ending, in_doubt: list[str], code: str, duration_ms: float
) -> None:
    call = closing_events(arc(ACCEPTED, STARTED, CALLING, *so_far), ending, now=5.0, in_doubt=in_doubt)[0]
    assert (call.duration_ms, call.effect) == (duration_ms, "unknown" if in_doubt else None)
    assert in_doubt or call.result == {"error": {"code": code, "message": call.result_summary}}
    assert call.status is wire.ToolStatus.KILLED or ending is not Ending.INTERRUPTED


@given(st.integers(), st.integers(min_value=0, max_value=30), st.sampled_from(Ending))
def test_however_a_run_went_it_can_be_closed(seed: int, steps: int, ending: Ending) -> None:
    chance = random.Random(seed)
    state = arc(ACCEPTED)
    for number in range(steps):
        agents = [*(agent.agent_id for agent in state.open_agents), "none"]
        calls = [*(call.call_id for call in state.open_calls), "none"]
        choices: list[Event] = [
            wire.AgentStarted(f"a{number}", "", 0.0),
            wire.ToolExecuting(agents[0], f"c{number}", "t", {}, "", 0.0),
            wire.ToolCompleted("a", chance.choice(calls), "t", None, "", chance.choice([*wire.ToolStatus]), 0.0, 0.0),
            wire.ApprovalRequired("a", chance.choice(calls), "t", {}, 0.0),
            wire.ApprovalDecided(chance.choice(calls), chance.choice([*wire.ApprovalDecision])),
            wire.AgentError(chance.choice(agents), "internal", "", True, "e"),
            wire.AgentCompleted(chance.choice(agents), "", wire.RunStatus.SUCCESS, wire.Usage(), 0.0),
        ]
        try:
            state.apply(chance.choice(choices))
        except RunProtocolError:
            continue
    closing = closing_events(state, ending, now=1.0, text="so far", error_id="e1")
    for event in closing:
        state.apply(event)
    assert state.end is not None
    assert [type(event) in (wire.FinalResponse, Error) for event in closing] == [False] * (len(closing) - 1) + [True]
    last = closing[-1]
    if ending is Ending.CANCELLED:
        assert (last.status, last.message) == (wire.RunStatus.CANCELLED, "so far")
    else:
        assert (last.code, last.error_id) == (ending.value, "e1")
    assert closing_events(state, ending, now=9.0) == []
    assert not state.open_calls
    assert not state.open_agents


def test_the_agent_that_is_stopped_at_its_work_has_what_the_run_used() -> None:
    used = wire.Usage(10, 20, 2)
    completed, final = closing_events(arc(ACCEPTED, STARTED), Ending.CANCELLED, now=5.0, usage=used)
    assert completed.usage == final.usage == used
