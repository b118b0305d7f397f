import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.intensity import Intensity


@pytest.mark.promise("restart.intensity")
def test_n_restarts_are_fine_and_the_next_is_not():
    """Three in the window pass, the fourth trips."""
    window = Intensity(3, 5.0)
    assert [window.record(0.0) for _ in range(4)] == [True, True, True, False]


@pytest.mark.promise("restart.intensity")
def test_zero_tolerates_none():
    """Intensity 0 fails the supervisor at the first failure."""
    assert Intensity(0, 5.0).record(0.0) is False


@pytest.mark.promise("restart.intensity-slides")
def test_the_window_slides():
    """A restart leaves the window a period after it happened, not when some bucket ends."""
    window = Intensity(2, 5.0)
    assert window.record(0.0)
    assert window.record(4.0)
    assert window.record(5.1)
    assert window.count(5.1) == 2
    assert not window.record(5.2)


@pytest.mark.promise("restart.intensity-slides")
@given(st.integers(0, 5), st.floats(0.1, 100.0), st.lists(st.floats(1.001, 50.0), max_size=30))
def test_restarts_spaced_wider_than_the_period_never_trip(limit, period_s, gaps):
    """With room for one, any spacing above the period goes on for ever."""
    window = Intensity(limit + 1, period_s)
    now = 0.0
    for gap in gaps:
        now += period_s * gap
        assert window.record(now)


@pytest.mark.promise("restart.intensity", "restart.intensity-slides")
@given(st.integers(0, 4), st.lists(st.floats(0, 3.0), min_size=1, max_size=40))
def test_it_agrees_with_counting_by_hand(limit, gaps):
    """A restart trips exactly when more than `limit` attempts lie within the period."""
    window = Intensity(limit, 5.0)
    times: list[float] = []
    for gap in gaps:
        times.append((times[-1] if times else 0.0) + gap)
        within = sum(1 for time in times if time >= times[-1] - 5.0)
        assert window.record(times[-1]) is (within <= limit)
