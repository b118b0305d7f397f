import itertools

import pytest

from actors.lifecycle import TRANSITIONS, InvalidTransition, State, Step, next_state


@pytest.mark.parametrize(("state", "step"), list(itertools.product(State, Step)))
def test_every_pair_is_in_the_table_or_an_error(state, step):
    if step in TRANSITIONS[state]:
        assert next_state(state, step) is TRANSITIONS[state][step]
    else:
        with pytest.raises(InvalidTransition) as caught:
            next_state(state, step)
        assert str(caught.value) == f"{step.value} cannot happen while {state.value}"


@pytest.mark.promise("bitten.backoff-is-a-state")
@pytest.mark.parametrize("state", [state for state in State if state is not State.GONE])
def test_every_state_can_be_told_to_end(state):
    assert next_state(state, Step.END) in (State.STOPPING, State.STOPPED)


def test_every_state_can_be_reached_and_all_but_the_last_be_left():
    reached = {State.STOPPED}
    while grown := {to for state in reached for to in TRANSITIONS[state].values()} - reached:
        reached |= grown
    assert reached == set(State)
    assert [state for state in State if not TRANSITIONS[state]] == [State.GONE]
