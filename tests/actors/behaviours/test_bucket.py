from hypothesis import given
from hypothesis import strategies as st

from actors.behaviours.bucket import Buckets, Rate


def take_all(buckets, key, now):
    taken = 0
    while buckets.ready_at(key, now) <= now:
        buckets.take(key, now)
        taken += 1
    return taken


def test_when_all_places_are_in_use_a_new_key_waits_for_the_first_that_is_idle():
    buckets = Buckets(Rate(0.5), max_keys=2)
    buckets.take("a", 0.0)
    buckets.take("b", 1.0)
    assert buckets.ready_at("c", 1.0) == 2.0
    buckets.take("a", 2.0)
    assert buckets.ready_at("c", 2.0) == 3.0
    assert buckets.ready_at("c", 3.0) <= 3.0
    buckets.take("c", 3.0)
    assert len(buckets) == 2


def test_idle_keys_are_forgotten_and_those_in_use_are_not():
    buckets = Buckets(Rate(1.0), max_keys=1_000_000)
    for number in range(10_000):
        now = number / 10
        assert buckets.ready_at(number, now) <= now
        buckets.take(number, now)
    assert len(buckets) <= 64
    assert buckets.ready_at(9_999, 999.9) == 1000.9


@given(
    st.floats(0.1, 100.0),
    st.integers(1, 5),
    st.lists(st.floats(0.0, 3.0), min_size=1, max_size=80),
    st.floats(0.0, 1e6),
)
def test_no_stretch_of_time_gives_more_than_its_share_and_a_burst(per_s, burst, waits, start):
    buckets = Buckets(Rate(per_s, burst))
    now, times = start, []
    for wait_s in waits:
        now += wait_s
        times += [now] * take_all(buckets, "a", now)
        promised = buckets.ready_at("a", now)
        assert now < promised <= now + 1 / per_s + 1e-6
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + (times[last] - times[first]) * per_s + 1e-3
