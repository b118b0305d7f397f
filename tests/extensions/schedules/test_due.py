"""What fires after a time away, by policy, and which timings are refused."""

from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from tests.rigs.cpu import cpu_seconds
from understudy.extensions.schedules.cron import BadCron, parse_cron
from understudy.extensions.schedules.due import MOST_MISSED, Firing, Interval, When, latest, next_firing

HOURLY = Interval(3600, 0.0)
H = 3600.0


@pytest.mark.parametrize(
    ("policy", "now", "expected"),
    [
        ("skip", 5 * H + 1, Firing(5 * H, 6 * H)),
        ("once", 5 * H + 1, Firing(5 * H, 6 * H)),
        ("all", 5 * H + 1, Firing(5 * H, 6 * H)),
        ("skip", 5 * H + 61, Firing(None, 6 * H, 1)),
        ("skip", 8 * H + 61, Firing(None, 9 * H, 4)),
        ("skip", 8 * H + 1, Firing(8 * H, 9 * H, 3)),
        ("once", 8 * H + 61, Firing(8 * H, 9 * H, 3)),
        ("all", 8 * H + 61, Firing(5 * H, 6 * H)),
    ],
)
def test_what_fires_after_a_time_away(policy: str, now: float, expected: Firing) -> None:
    assert next_firing(HOURLY, 5 * H, now, policy) == expected


def test_all_makes_up_for_the_latest_missed_times_only() -> None:
    """A year away: the first firing is MOST_MISSED intervals ago, and each leads to the next one."""
    now = 8760 * H
    at, fired = 5 * H, []
    while at <= now:
        firing = next_firing(HOURLY, at, now, "all")
        assert firing.at is not None
        assert firing.next_at is not None
        fired.append(firing.at)
        at = firing.next_at
    assert fired == [(8760 - back) * H for back in reversed(range(MOST_MISSED))]


@pytest.mark.parametrize("cron", ["* * * * *", "0 9 * * 1", "0 0 1 1 *"])
def test_the_latest_due_times_after_years_are_found_at_once(cron: str) -> None:
    timing = parse_cron(cron, ZoneInfo("Europe/Berlin"))
    now = 1_790_000_000.0
    due = next(timing.due_times(now - 5 * 366 * 86_400))
    times = latest(timing, due, now, 3)
    assert cpu_seconds(lambda: latest(timing, due, now, 3), 2.0) < 2.0, "one after another they take a minute"
    assert len(times) == 3
    assert list(islice(timing.due_times(times[0]), 2)) == times[1:]
    assert times[-1] <= now < next(timing.due_times(times[-1]))


def test_intervals_are_counted_from_their_start() -> None:
    assert list(islice(Interval(90, 10.0).due_times(0.0), 2)) == [100.0, 190.0]
    assert next(Interval(90, 10.0).due_times(100.0)) == 190.0


@pytest.mark.parametrize(
    ("cron", "every_s", "zone", "complaint"),
    [
        (None, None, "UTC", "either cron or every_s"),
        ("* * * * *", 60, "UTC", "either cron or every_s"),
        (None, 59, "UTC", "from 60"),
        (None, 10**12, "UTC", "from 60"),
        ("* * * * *", None, "Mars/Olympus", "no time zone 'Mars/Olympus'"),
        ("* * * * *", None, "../../etc/passwd", "no time zone"),
        ("* * * * *", None, "", "no time zone"),
        ("* * * * *", None, "localtime", "no time zone 'localtime'"),
        ("0 0 31 2 *", None, "UTC", "never due"),
    ],
)
def test_timings_that_cannot_be_used_are_refused(
    cron: str | None, every_s: int | None, zone: str, complaint: str
) -> None:
    with pytest.raises(BadCron, match=complaint):
        When(cron, every_s, zone, 0.0).check(60.0)


def test_a_cron_that_is_due_too_often_is_refused() -> None:
    with pytest.raises(BadCron, match="due every 60 s; at least 3600 s"):
        When("0,1 9 * * *", None, "UTC", 0.0).check(3600.0)
    assert When("0 * * * *", None, "UTC", 0.0).check(3600.0)
