from actors import Backoff
from actors.behaviours.reopen_policy import ReopenPolicy

STEADY = Backoff(min_s=1.0, max_s=10.0, jitter=0.0)


def test_openings_that_fail_wait_longer_and_longer():
    kept = ReopenPolicy(STEADY, 5.0)
    assert [kept.failed(OSError(), at, 0.5) for at in (5.0, 6.0, 8.0)] == [1.0, 2.0, 4.0]
    assert (kept.open, kept.since, kept.failures) == (False, 5.0, 3)
    assert [kept.retry_in_s(at) for at in (8.0, 11.0, 13.0)] == [4.0, 1.0, 0.0]


def test_a_long_opening_resets_the_delay():
    kept = ReopenPolicy(STEADY, 0.0)
    kept.failed(OSError(), 0.0, 0.5)
    kept.opened(1.0)
    assert (kept.open, kept.since, kept.retry_in_s(1.0)) == (True, 1.0, 0.0)
    assert kept.failed(OSError(), 2.0, 0.5) == 2.0
    kept.opened(4.0)
    assert kept.failed(OSError(), 14.0, 0.5) == 1.0


def test_a_resource_is_away_from_the_moment_it_is_lost():
    kept, error = ReopenPolicy(STEADY, 0.0), OSError()
    kept.opened(0.0)
    kept.lost(20.0)
    kept.lost(21.0)
    assert (kept.open, kept.since) == (False, 20.0)
    assert kept.failed(error, 23.0, 0.5) == 1.0
    assert (kept.since, kept.last_error) == (20.0, error)
