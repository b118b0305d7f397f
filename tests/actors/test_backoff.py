import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import Backoff, InvalidSpec


@pytest.mark.promise("restart.backoff-growth")
def test_the_delay_doubles_up_to_the_maximum():
    backoff = Backoff(min_s=0.1, max_s=1.0, jitter=0.0)
    assert [round(backoff.delay(n, 0.5), 3) for n in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@pytest.mark.promise("restart.backoff-growth")
@given(st.integers(0, 10**12), st.floats(0, 1))
def test_the_delay_stays_within_its_bounds_for_any_count(failures, chance):
    backoff = Backoff(min_s=0.5, max_s=60.0, jitter=0.2)
    assert 0.5 * 0.8 <= backoff.delay(failures, chance) <= 60.0


@pytest.mark.promise("restart.backoff-growth")
def test_jitter_moves_the_delay_both_ways():
    backoff = Backoff(min_s=1.0, max_s=10.0, jitter=0.5)
    assert [backoff.delay(0, chance) for chance in (0.0, 0.5, 1.0)] == [0.5, 1.0, 1.5]


@pytest.mark.promise("restart.backoff-reset")
def test_failures_are_forgotten_after_a_quiet_time():
    assert Backoff(max_s=30.0).forgets(30.0)
    assert Backoff(min_s=100.0).forgets(100.0)
    assert not Backoff(max_s=30.0).forgets(29.9)
    assert Backoff(max_s=30.0, reset_after_s=1.0).forgets(1.0)


def test_a_long_first_delay_needs_no_other_field():
    assert Backoff(min_s=100).max_s == 100
    assert Backoff(min_s=100, jitter=0.0).delay(5, 0.5) == 100
    assert (Backoff().max_s, Backoff(min_s=2.0).max_s) == (30.0, 30.0)
    with pytest.raises(InvalidSpec, match=r"backoff.max_s: must not be less than min_s"):
        Backoff(min_s=100, max_s=30)
