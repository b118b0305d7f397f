"""When cron expressions are due, also when clocks change; and which expressions are refused."""

from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from understudy.extensions.schedules.cron import BadCron, parse_cron

BERLIN = "Europe/Berlin"


def due(cron: str, after: str, count: int, zone: str = "UTC") -> list[str]:
    """Return the next local due times after a local time, with their offsets from UTC."""
    where = ZoneInfo(zone)
    times = parse_cron(cron, where).due_times(datetime.fromisoformat(after).replace(tzinfo=where).timestamp())
    return [datetime.fromtimestamp(at, where).strftime("%m-%d %H:%M %z") for at in islice(times, count)]


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("0 9 * * *", "2026-01-01 09:00", ["01-02 09:00 +0000", "01-03 09:00 +0000"]),
        ("*/20 * * * *", "2026-01-01 23:30", ["01-01 23:40 +0000", "01-02 00:00 +0000", "01-02 00:20 +0000"]),
        ("30 8 * * MON-FRI", "2026-01-02 12:00", ["01-05 08:30 +0000"]),
        ("0 0 * * 7", "2026-01-01 00:00", ["01-04 00:00 +0000"]),
        ("0 0 13 * 5", "2026-02-01 00:00", ["02-06 00:00 +0000", "02-13 00:00 +0000", "02-20 00:00 +0000"]),
        ("0 0 1,15 jan-mar/2 *", "2026-01-20 00:00", ["03-01 00:00 +0000", "03-15 00:00 +0000"]),
        ("5/30 1 * * *", "2026-01-01 00:00", ["01-01 01:05 +0000", "01-01 01:35 +0000"]),
        ("0 0 29 2 *", "2096-03-01 00:00", ["02-29 00:00 +0000"]),
        ("@daily", "2026-01-01 00:00", ["01-02 00:00 +0000"]),
    ],
)
def test_due_times(cron: str, after: str, expected: list[str]) -> None:
    assert due(cron, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        # clocks go forward from 02:00 to 03:00 on 29 March
        ("30 2 * * *", "2026-03-28 12:00", ["03-29 03:00 +0200", "03-30 02:30 +0200"]),
        ("15,45 2 * * *", "2026-03-28 12:00", ["03-29 03:00 +0200", "03-30 02:15 +0200"]),
        ("0 2,3 * * *", "2026-03-28 12:00", ["03-29 03:00 +0200", "03-30 02:00 +0200"]),
        ("30 * * * *", "2026-03-29 01:00", ["03-29 01:30 +0100", "03-29 03:30 +0200"]),
        # clocks go back from 03:00 to 02:00 on 25 October
        ("30 2 * * *", "2026-10-24 12:00", ["10-25 02:30 +0200", "10-26 02:30 +0100"]),
        ("30 * * * *", "2026-10-25 01:45", ["10-25 02:30 +0200", "10-25 02:30 +0100", "10-25 03:30 +0100"]),
        ("0 3 * * *", "2026-10-24 12:00", ["10-25 03:00 +0100"]),
    ],
)
def test_due_times_when_clocks_change(cron: str, after: str, expected: list[str]) -> None:
    assert due(cron, after, len(expected), BERLIN) == expected


def test_a_day_that_begins_in_a_gap_is_due_once() -> None:
    assert due("0 0 * * *", "2026-04-23 12:00", 2, "Africa/Cairo") == ["04-24 01:00 +0300", "04-25 00:00 +0300"]


@pytest.mark.parametrize(
    ("cron", "complaint"),
    [
        ("0 0 31 2 *", "never due"),
        ("0 0 30 feb *", "never due"),
        ("0 0 LW * */7", "never due"),  # a Sunday that is the last weekday of its month
        ("* * * *", "has 4"),
        ("0 0 * * * *", "has 6"),
        ("", "has 0"),
        ("60 * * * *", "in the minute, '60' is not a number from 0 to 59"),
        ("0 24 * * *", "in the hour"),
        ("0 0 0 * *", "in the day of month"),
        ("0 0 * 13 *", "in the month"),
        ("0 0 * * fun", "in the day of week, 'fun'"),
        ("9-5 * * * *", "in the minute, '9-5' is not"),
        ("*/0 * * * *", r"'\*/0' is not .* or a step"),
        ("*/x * * * *", r"'\*/x' is not .* or a step"),
        ("1,,2 * * * *", "in the minute, '1,,2' is not a number"),
        ("-1 * * * *", "in the minute, '-1' is not a number from 0 to 59"),
        ("5- * * * *", "in the minute, '5-' is not a number"),
        ("٣ * * * *", "in the minute"),
        (f"{'1,' * 200}1 * * * *", "at most 200 characters"),
    ],
)
def test_absurd_expressions_are_refused_with_the_reason(cron: str, complaint: str) -> None:
    with pytest.raises(BadCron, match=complaint):
        parse_cron(cron, ZoneInfo("UTC"))
