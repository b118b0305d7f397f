import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import Backoff, InvalidSpec


@pytest.mark.promise("restart.backoff-growth")
def test_the_delay_doubles_up_to_the_maximum():
    """0.1 s, then twice as long each time, never above the bound."""
    backoff = Backoff(min_s=0.1, max_s=1.0, jitter=0.0)
    assert [round(backoff.delay(n, 0.5), 3) for n in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_factor_of_one_is_a_steady_delay():
    """It does not grow, nor divide by zero."""
    assert Backoff(min_s=2.0, max_s=9.0, factor=1.0, jitter=0.0).delay(10**6, 0.0) == 2.0


@pytest.mark.promise("restart.backoff-growth")
@given(st.integers(0, 10**12), st.floats(0, 1))
def test_it_is_safe_for_any_count_and_stays_within_its_bounds(failures, chance):
    """Huge counts do not overflow; jitter takes away or adds its share at most."""
    backoff = Backoff(min_s=0.5, max_s=60.0, jitter=0.2)
    assert 0.5 * 0.8 <= backoff.delay(failures, chance) <= 60.0


@pytest.mark.promise("restart.backoff-growth")
def test_jitter_moves_the_delay_both_ways():
    """The chance 0 is the shortest, 1 the longest."""
    backoff = Backoff(min_s=1.0, max_s=10.0, jitter=0.5)
    assert [backoff.delay(0, chance) for chance in (0.0, 0.5, 1.0)] == [0.5, 1.0, 1.5]


@pytest.mark.promise("restart.backoff-reset")
def test_it_forgets_after_a_quiet_time():
    """By default that is its own maximum."""
    assert Backoff(max_s=30.0).forgets(30.0)
    assert Backoff(min_s=100.0).forgets(100.0)
    assert not Backoff(max_s=30.0).forgets(29.9)
    assert Backoff(max_s=30.0, reset_after_s=1.0).forgets(1.0)


@pytest.mark.promise("start.invalid-specs", "bad.spec")
@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("backoff.min_s", {"min_s": 0}),
        ("backoff.min_s", {"min_s": float("nan")}),
        ("backoff.max_s", {"max_s": float("inf")}),
        ("backoff.max_s", {"min_s": 2.0, "max_s": 1.0}),
        ("backoff.factor", {"factor": 0.5}),
        ("backoff.jitter", {"jitter": 1.5}),
        ("backoff.reset_after_s", {"reset_after_s": 0}),
    ],
)
def test_numbers_that_make_no_sense_are_refused_by_name(field, options):
    """The error names the field."""
    with pytest.raises(InvalidSpec) as caught:
        Backoff(**options)
    assert caught.value.field == field


def test_a_long_first_delay_needs_no_other_field():
    """The longest delay follows it; a longest one that is given, and shorter, is refused."""
    assert Backoff(min_s=100).max_s == 100
    assert Backoff(min_s=100, jitter=0.0).delay(5, 0.5) == 100
    assert (Backoff().max_s, Backoff(min_s=2.0).max_s) == (30.0, 30.0)
    with pytest.raises(InvalidSpec, match=r"backoff.max_s: must not be less than min_s"):
        Backoff(min_s=100, max_s=30)
