"""The histogram against sorted lists."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tests.load.histogram import LOWEST, Histogram

seconds = st.floats(LOWEST, 1000.0)


@given(st.lists(seconds, min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_percentile_is_within_one_percent_of_the_value_in_order(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    got = histogram.percentile(share)
    assert got is not None
    assert abs(got - exact) <= exact * 0.01


def test_nothing_has_no_percentiles_and_small_values_count_as_the_lowest() -> None:
    histogram = Histogram()
    assert histogram.percentile(0.5) is None
    assert histogram.as_json() == {
        "count": 0, "mean": None, "p50": None, "p90": None, "p99": None, "p99_9": None, "max": None, "buckets": []
    }  # fmt: skip
    histogram.add(0.0)
    got = histogram.percentile(1.0)
    assert got is not None
    assert LOWEST <= got <= LOWEST * 1.02


def test_the_buckets_hold_every_value_in_milliseconds() -> None:
    histogram = Histogram()
    for value in (0.001, 0.001, 0.5):
        histogram.add(value)
    numbers = histogram.as_json()
    (low, twice), (high, once) = numbers["buckets"]
    assert (twice, once, numbers["count"], numbers["max"]) == (2, 1, 3, 500.0)
    assert abs(low - 1.0) <= 0.011
    assert abs(high - 500.0) <= 5.1
