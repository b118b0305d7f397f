from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors import Backoff
from actors.behaviours.circuit import TRANSITIONS, Circuit, CircuitSpec, CircuitState, FailureCount

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
STEADY = Backoff(min_s=10.0, max_s=80.0, jitter=0.0)
EVEN = 0.5
"""The chance at which jitter changes nothing."""


def circuit(limit=3, **options):
    """A circuit that opens after `limit` failures, for 10 s at first."""
    options.setdefault("trip", FailureCount(limit))
    return Circuit(CircuitSpec(**{"reset": STEADY, **options}))


def fail(target, now, times=1):
    for _ in range(times):
        target.settle(target.admit(now), True, now, EVEN)


def succeed(target, now, times=1):
    for _ in range(times):
        target.settle(target.admit(now), False, now, EVEN)


def test_a_trial_that_fails_opens_it_again_for_longer():
    target = circuit(limit=1)
    fail(target, 0.0)
    now, waits = 0.0, []
    for _ in range(5):
        waits.append(target.retry_after_s(now))
        now += waits[-1]
        fail(target, now)
    assert waits == [10.0, 20.0, 40.0, 80.0, 80.0]
    now += target.retry_after_s(now)
    succeed(target, now)
    fail(target, now)
    assert target.retry_after_s(now) == 10.0


def test_several_trials_pass_at_once_and_all_must_go_well():
    target = circuit(limit=1, trials=3)
    fail(target, 0.0)
    trials = [target.admit(10.0) for _ in range(3)]
    assert all(trials)
    target.settle(trials[0], False, 10.0, EVEN)
    assert target.admit(10.0) is None
    target.settle(trials[1], False, 10.0, EVEN)
    assert target.state(10.0) is HALF_OPEN
    target.settle(trials[2], False, 10.0, EVEN)
    assert target.state(10.0) is CLOSED


def test_one_of_several_trials_that_fails_opens_it():
    target = circuit(limit=1, trials=3)
    fail(target, 0.0)
    trials = [target.admit(10.0) for _ in range(3)]
    target.settle(trials[0], True, 10.0, EVEN)
    assert target.state(10.0) is OPEN
    for trial in trials[1:]:
        target.settle(trial, False, 10.0, EVEN)
    assert target.retry_after_s(10.0) == 20.0


def test_a_dropped_trial_gives_its_place_back():
    target = circuit(limit=1)
    fail(target, 0.0)
    for _ in range(3):
        trial = target.admit(10.0)
        assert trial is not None
        target.drop(trial)
        assert target.state(10.0) is HALF_OPEN
    succeed(target, 10.0)
    assert target.state(10.0) is CLOSED


@pytest.mark.parametrize("failed", [True, False])
def test_a_call_from_before_the_circuit_opened_says_nothing_about_now(failed):
    target = circuit(limit=1)
    old = target.admit(0.0)
    fail(target, 0.0)
    assert target.state(10.0) is HALF_OPEN
    target.settle(old, failed, 10.0, EVEN)
    assert target.state(10.0) is HALF_OPEN
    assert target.admit(10.0) is not None
    assert target.admit(10.0) is None


def test_a_slow_call_is_a_failure_whatever_it_returned():
    target = circuit(limit=1, slow_call_s=2.0)
    target.settle(target.admit(0.0), False, 2.0, EVEN)
    assert target.state(2.0) is CLOSED
    target.settle(target.admit(2.0), False, 4.5, EVEN)
    assert target.state(4.5) is OPEN


TURNS = {(before, after) for (before, _), after in TRANSITIONS.items()}


class AnyHistory(RuleBasedStateMachine):
    """Calls begin, end, fail and are dropped in any order, and time goes on."""

    def __init__(self):
        super().__init__()
        self.target = circuit(limit=2, trials=2)
        self.now = 0.0
        self.open = []
        self.before = CLOSED
        self.succeeded = Counter()  # by period

    @rule()
    def admit(self):
        permit = self.target.admit(self.now)
        assert (permit is None) <= (self.target.state(self.now) is not CLOSED)
        if permit is not None:
            self.open.append(permit)

    @precondition(lambda self: self.open)
    @rule(failed=st.booleans(), which=st.integers(0, 1000))
    def settle(self, failed, which):
        permit = self.open.pop(which % len(self.open))
        self.target.settle(permit, failed, self.now, EVEN)
        self.succeeded[permit.period] += not failed

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 1000))
    def drop(self, which):
        self.target.drop(self.open.pop(which % len(self.open)))

    @rule(seconds=st.sampled_from([0.5, 5.0, 100.0]))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def every_turn_is_in_the_table(self):
        before, self.before = self.before, self.target.state(self.now)
        assert before is self.before or (before, self.before) in TURNS

    @invariant()
    def two_trials_are_in_flight_or_went_well_or_are_free(self):
        if self.target.state(self.now) is HALF_OPEN:
            free = [permit for _ in range(3) if (permit := self.target.admit(self.now)) is not None]
            period = max(permit.period for permit in free + self.open)
            mine = [permit for permit in self.open if permit.period == period]
            assert len(free) + len(mine) + self.succeeded[period] == 2
            for permit in free:
                self.target.drop(permit)

    @invariant()
    def it_never_stays_shut(self):
        assert self.target.retry_after_s(self.now) <= 80.0


TestAnyHistory = AnyHistory.TestCase


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=60))
def test_a_count_opens_exactly_when_so_many_failed_in_a_row_in_time(calls):
    target = circuit(trip=FailureCount(3, window_s=6.0))
    now, row = 0.0, []
    for failed, wait_s in calls:
        now += wait_s
        target.settle(target.admit(now), failed, now, EVEN)
        row = [*row, now] if failed else []
        if len([at for at in row if now - at <= 6.0]) >= 3:
            assert target.state(now) is OPEN
            return
        assert target.state(now) is CLOSED
