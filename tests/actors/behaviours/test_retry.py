import pytest

from actors import Backoff, InvalidSpec
from actors.behaviours.retry import ONCE, Retry

STEADY = Backoff(min_s=1.0, max_s=10.0, jitter=0.0)


def test_the_delays_grow_and_end_with_the_attempts():
    """Five attempts have four delays."""
    retry = Retry(5, STEADY)
    assert [retry.delay_s(attempt, OSError(), 0.5) for attempt in range(1, 6)] == [1.0, 2.0, 4.0, 8.0, None]


def test_the_delays_have_jitter():
    """By the chance handed in."""
    retry = Retry(2, Backoff(min_s=1.0, max_s=10.0, jitter=0.5))
    assert [retry.delay_s(1, OSError(), chance) for chance in (0.0, 1.0)] == [0.5, 1.5]


def test_once_is_once():
    """There is no second attempt."""
    assert ONCE.delay_s(1, OSError(), 0.5) is None


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
    """A group only if all in it are."""
    retry = Retry(2, STEADY, on=(OSError,), never=(FileNotFoundError,))
    assert (retry.delay_s(1, error, 0.5) is not None) is again


@pytest.mark.parametrize("attempts", [0, -1, True, 1.5])
def test_a_number_of_attempts_that_makes_no_sense_is_refused(attempts):
    """The error names the field."""
    with pytest.raises(InvalidSpec, match="attempts"):
        Retry(attempts)
