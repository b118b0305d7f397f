"""Cron expressions of five fields in a time zone, by `cronsim`, which follows Debian's cron. Pure.

1. The fields are minute, hour, day of month, month and day of week (0 and 7 are Sunday), each with `*`, numbers,
   ranges, lists and steps; months and days also have their English names of three letters. If both days are restricted,
   a date that fits either is due.
2. A local time that occurs twice, when clocks go back, is due at its first occurrence only.
3. A local time that is skipped, when clocks go forward, is due at the end of the gap.
4. If the minute or the hour begins with `*`, the expression follows elapsed time instead: the repeated hour is due
   again, as a new hour, and the skipped one is not.
5. Each time is due once: several local times in one gap are one due time.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from attrs import frozen
from cronsim import CronSim, CronSimError

MAX_LENGTH: Final = 200
"""Limit of characters of an expression."""
ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
NO_SUCH_DAY: Final = "no such day"
_FIELDS: Final = {
    "minute": "from 0 to 59",
    "hour": "from 0 to 23",
    "day-of-month": "from 1 to 31",
    "month": "from 1 to 12, or jan to dec",
    "day-of-week": "from 0 to 7, or sun to sat",
}
"""The fields in order, by the names in the errors of `cronsim`, with the values that they accept."""


class BadCron(ValueError):
    """A cron expression cannot be used; the text says why."""


@frozen
class Cron:
    """A valid expression in a time zone."""

    expression: str
    zone: ZoneInfo

    def due_times(self, after: float) -> Iterator[float]:
        """Yield the due times after a time, in order, in Unix seconds; end when none follows within fifty years."""
        for due in CronSim(self.expression, datetime.fromtimestamp(after, self.zone)):
            at = due.timestamp()
            if at > after:
                yield at
                after = at


def parse_cron(text: str, zone: ZoneInfo) -> Cron:
    """Parse an expression of five fields, or one of ALIASES.

    Raises:
        BadCron: The expression is malformed, or never due.
    """
    if len(text) > MAX_LENGTH:
        raise BadCron(f"a cron expression may have at most {MAX_LENGTH} characters")
    expression = ALIASES.get(text.strip().lower(), text)
    parts = expression.split()
    if len(parts) != len(_FIELDS):
        raise BadCron(
            "a cron expression has 5 fields (minute, hour, day of month, month, day of week), "
            f"and this one has {len(parts)}"
        )
    wrong = _wrong_field(expression)
    if wrong == "day-of-month" and _wrong_field(f"0 0 {parts[2]} * *") is None:
        wrong = NO_SUCH_DAY  # the day is valid, but not in these months
    if wrong is None:
        return Cron(expression, zone)
    if wrong == NO_SUCH_DAY:
        raise BadCron("this cron expression is never due: there is no such day")
    part = parts[list(_FIELDS).index(wrong)]
    shown = repr("".join(letter if letter.isprintable() else "?" for letter in part[:20]))
    raise BadCron(
        f"in the {wrong.replace('-', ' ')}, {shown} is not a number {_FIELDS[wrong]}, "
        "nor a range (1-5), a list (1,3) or a step (*/5) of these"
    )


def _wrong_field(expression: str) -> str | None:
    """Return the name of the malformed field, NO_SUCH_DAY if the expression is never due, or None if it is valid."""
    try:
        due = next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        return str(error).removeprefix("Bad ")
    return NO_SUCH_DAY if due is None else None
