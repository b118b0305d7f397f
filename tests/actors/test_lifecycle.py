import itertools

import pytest

from actors.lifecycle import TRANSITIONS, InvalidTransition, State, Step, next_state


@pytest.mark.parametrize(("state", "step"), list(itertools.product(State, Step)))
def test_every_pair_is_in_the_table_or_an_error(state, step):
    if (state, step) in TRANSITIONS:
        assert next_state(state, step) is TRANSITIONS[state, step]
    else:
        with pytest.raises(InvalidTransition) as caught:
            next_state(state, step)
        assert str(caught.value) == f"{step.value} cannot happen while {state.value}"


@pytest.mark.promise("bitten.backoff-is-a-state")
@pytest.mark.parametrize("state", list(State))
def test_every_state_can_be_told_to_end(state):
    assert next_state(state, Step.END) in (State.STOPPING, State.STOPPED)


def test_every_state_can_be_reached_and_left():
    reached = {State.STOPPED}
    while grown := {to for (start, _), to in TRANSITIONS.items() if start in reached} - reached:
        reached |= grown
    assert reached == set(State)
    assert {start for start, _ in TRANSITIONS} == set(State)


@pytest.mark.promise("bitten.backoff-is-a-state")
def test_a_life_with_a_crash_and_a_wait():
    state = State.STOPPED
    seen = []
    for step in (
        Step.START,
        Step.STARTED,
        Step.END,
        Step.ENDED,
        Step.WAIT,
        Step.START,
        Step.STARTED,
        Step.END,
        Step.ENDED,
    ):
        state = next_state(state, step)
        seen.append(state.value)
    assert seen == [
        "starting", "running", "stopping", "stopped", "backing_off", "starting", "running", "stopping", "stopped",
    ]  # fmt: skip
