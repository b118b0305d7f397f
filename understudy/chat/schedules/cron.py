"""Cron expressions of five fields in a time zone: parsing, and the times at which they are due. Pure.

1. The fields are minute, hour, day of month, month and day of week (0 and 7 are Sunday), each with `*`, numbers,
   ranges, lists and steps; months and days also have their English names of three letters. If both days are restricted,
   either suffices, as in every cron.
2. A local time that occurs twice, when clocks go back, is due at its first occurrence only.
3. A local time that is skipped, when clocks go forward, is due at the end of the gap.
4. If the hour begins with `*`, the expression follows elapsed time instead: the repeated hour is due again, as a new
   hour, and the skipped one is not.
5. Each time is due once: several local times in one gap are one due time.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from attrs import frozen

HORIZON_DAYS: Final = 3660
"""Days that are searched for the next due time. The rarest one, 29 February, is at most eight years away."""
MAX_LENGTH: Final = 200
"""Characters in an expression."""
ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final[tuple[tuple[str, int, int, dict[str, int]], ...]] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)


class BadCron(ValueError):
    """A cron expression cannot be used; the text says why."""


@frozen
class Cron:
    """A parsed expression in a time zone. `days_either`: one of the two kinds of day suffices."""

    zone: ZoneInfo
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    days_either: bool
    every_hour: bool

    def due_times(self, after: float) -> Iterator[float]:
        """Yield the due times after a time, in order, in Unix seconds, as far as HORIZON_DAYS without one."""
        day = datetime.fromtimestamp(after, self.zone).date() - timedelta(days=1)  # a gap may end on the next day
        last, left = after, HORIZON_DAYS
        while left:
            for at in self._times_of(day) if self._includes(day) else ():
                if at > last:
                    yield at
                    last, left = at, HORIZON_DAYS
            try:
                day += timedelta(days=1)
            except OverflowError:
                return
            left -= 1

    def _includes(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.days_either else of_month and of_week

    def _times_of(self, day: date) -> list[float]:
        """Return the due times of one local day, in order."""
        found = set[float]()
        for hour in self.hours:
            for minute in self.minutes:
                local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
                first, second = local.timestamp(), local.replace(fold=1).timestamp()
                if first <= second:  # one occurrence, or two
                    found |= {first, second} if self.every_hour else {first}
                elif not self.every_hour:
                    found.add(_end_of_gap(second, first, self.zone))
        return sorted(found)


def parse_cron(text: str, zone: ZoneInfo) -> Cron:
    """Parse an expression of five fields, or one of ALIASES.

    Raises:
        BadCron: It is malformed, or never due.
    """
    if len(text) > MAX_LENGTH:
        raise BadCron(f"a cron expression may have at most {MAX_LENGTH} characters")
    parts = ALIASES.get(text.strip().lower(), text).split()
    if len(parts) != len(_FIELDS):
        raise BadCron(
            "a cron expression has 5 fields (minute, hour, day of month, month, day of week), "
            f"and this one has {len(parts)}"
        )
    values = [_parse_field(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]
    cron = Cron(
        zone,
        tuple(sorted(values[0])),
        tuple(sorted(values[1])),
        frozenset(values[2]),
        frozenset(values[3]),
        frozenset(day % 7 for day in values[4]),
        not parts[2].startswith("*") and not parts[4].startswith("*"),
        parts[1].startswith("*"),
    )
    if next(cron.due_times(datetime(2024, 1, 1, tzinfo=UTC).timestamp()), None) is None:
        raise BadCron("this cron expression is never due: no month has such a day")
    return cron


def _parse_field(text: str, name: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    found = set[int]()
    for item in text.split(","):
        span, slash, step = item.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        elif not first or (dash and not last):
            raise BadCron(f"in the {name}, {_shown(item or text)} is not a number from {low} to {high}, or a range")
        else:
            start = _number(first, name, low, high, names)
            end = _number(last, name, low, high, names) if dash else high if slash else start
        if start > end:
            raise BadCron(f"in the {name}, the range {span} runs backwards")
        if slash and not (step.isascii() and step.isdigit() and 0 < int(step[:4]) <= high and len(step) <= 4):
            raise BadCron(f"in the {name}, the step of {item[:20]} must be a number from 1 to {high}")
        found.update(range(start, end + 1, int(step) if slash else 1))
    return found


def _number(text: str, name: str, low: int, high: int, names: dict[str, int]) -> int:
    number = names.get(text.lower())
    if number is None and text.isascii() and text.isdigit() and len(text) <= 4:
        number = int(text)
    if number is None or not low <= number <= high:
        raise BadCron(f"in the {name}, {_shown(text)} is not from {low} to {high}")
    return number


def _shown(text: str) -> str:
    return repr("".join(each if each.isprintable() else "?" for each in text[:20]))


def _end_of_gap(before: float, after: float, zone: ZoneInfo) -> float:
    """Return the time at which clocks go forward, between a time before the change and one after it."""
    old = datetime.fromtimestamp(before, zone).utcoffset()
    low, high = int(before), int(after)
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return float(high)
