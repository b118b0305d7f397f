import math

import pytest

from actors import Backoff, InvalidSpec
from actors.behaviours.retry import Retry

STEADY = Backoff(min_s=1.0, max_s=10.0, jitter=0.0)


def test_the_delays_grow_and_end_with_the_attempts():
    retry = Retry(5, STEADY)
    assert [retry.delay_s(attempt, OSError(), 0.5) for attempt in range(1, 6)] == [1.0, 2.0, 4.0, 8.0, None]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionError(), True),
        (FileNotFoundError(), False),
        (ValueError(), False),
        (ExceptionGroup("g", [ConnectionError(), TimeoutError()]), True),
        (ExceptionGroup("g", [ConnectionError(), ValueError()]), False),
        (ExceptionGroup("g", [ConnectionError(), FileNotFoundError()]), False),
    ],
)
def test_only_errors_of_the_named_kinds_are_retried(error, again):
    retry = Retry(2, STEADY, on=(OSError,), never=(FileNotFoundError,))
    assert (retry.delay_s(1, error, 0.5) is not None) is again


@pytest.mark.parametrize("attempts", [0, -1, True, 1.5])
def test_a_number_of_attempts_that_makes_no_sense_is_refused(attempts):
    with pytest.raises(InvalidSpec, match="attempts"):
        Retry(attempts)


class Busy(Exception):
    """An error that says how long to stay away."""

    def __init__(self, retry_after_s):
        super().__init__()
        self.retry_after_s = retry_after_s


@pytest.mark.parametrize(
    ("wish_s", "delay_s"), [(7.5, 7.5), (0.5, 1.0), (0, 1.0), (math.inf, 1.0), (math.nan, 1.0), (None, 1.0), ("9", 1.0)]
)
def test_an_error_may_say_how_long_to_wait(wish_s, delay_s):
    retry = Retry(3, Backoff(min_s=1.0, max_s=2.0, jitter=0.0))
    assert retry.delay_s(1, Busy(wish_s), 0.5) == delay_s
    assert retry.delay_s(1, ExceptionGroup("", [ValueError(), Busy(wish_s), Busy(0.1)]), 0.5) == delay_s
