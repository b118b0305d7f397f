"""Computes when a schedule is due next, and which missed due times fire late. Pure.

Times are Unix seconds. The policy of a schedule decides about due times that passed while no server ran:

- `skip`: they are dropped. A due time fires if it is at most LATE_S ago.
- `once`: they fire together, once.
- `all`: each fires, in order, but only the latest MOST_MISSED.
"""

import math
from collections import deque
from collections.abc import Iterator
from itertools import count, islice, pairwise, takewhile
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from attrs import frozen

from understudy.extensions.schedules.cron import BadCron, Cron, parse_cron

POLICIES: Final = ("skip", "once", "all")
LATE_S: Final = 60.0
"""Seconds by which a firing may be late without counting as missed: a restart takes less."""
MOST_MISSED: Final = 100
"""Limit of missed due times that fire late by the policy `all`; the latest do."""
LONGEST_S: Final = 366 * 86_400
"""Longest interval, in seconds."""
COMPARED: Final = 100
"""Number of due times of a cron expression that are examined for the shortest interval between two."""


@frozen
class Interval:
    """Due every so many seconds of elapsed time, counted from `start`, the first time after one interval."""

    every_s: int
    start: float

    def due_times(self, after: float) -> Iterator[float]:
        """Yield the due times after a time, in order."""
        first = max(1, math.floor((after - self.start) / self.every_s) + 1)
        return (self.start + number * self.every_s for number in count(first))


Timing: TypeAlias = Cron | Interval


@frozen
class When:
    """The timing of a schedule as its user defined it: `cron` in a time zone, or an interval from `starts_at` on."""

    cron: str | None
    every_s: int | None
    time_zone: str
    starts_at: float

    def check(self, least_s: float) -> Timing:
        """Return the timing, if it can be used and its due times are at least `least_s` apart.

        Raises:
            BadCron: The timing is malformed, never due, or due too often; the text says why.
        """
        zone = read_zone(self.time_zone)
        if (self.cron is None) == (self.every_s is None):
            raise BadCron("give either cron or every_s")
        if self.every_s is not None:
            if not least_s <= self.every_s <= LONGEST_S:
                raise BadCron(f"the interval every_s must be from {least_s:g} to {LONGEST_S:,} seconds")
            return Interval(self.every_s, self.starts_at)
        assert self.cron is not None  # noqa: S101 - for the type checker: checked above
        parsed = parse_cron(self.cron, zone)
        times = list(islice(parsed.due_times(self.starts_at), COMPARED))
        apart_s = min((after - earlier for earlier, after in pairwise(times)), default=math.inf)
        if apart_s < least_s:
            raise BadCron(f"this cron expression is due every {apart_s:g} s; at least {least_s:g} s must be between")
        return parsed

    def read(self) -> Timing:
        """Return the timing, which was checked before. Raises BadCron if its time zone no longer exists here."""
        if self.every_s is not None:
            return Interval(self.every_s, self.starts_at)
        try:
            return parse_cron(self.cron or "", ZoneInfo(self.time_zone))
        except (KeyError, OSError) as error:
            raise BadCron(f"there is no time zone {self.time_zone} on this server any more") from error


@frozen
class Firing:
    """The next action of a schedule: fire the due time `at` (None: none), be due next at `next_at` (None: never).

    `missed` is the number of due times that passed and will not fire, of which at most MOST_MISSED are counted.
    """

    at: float | None
    next_at: float | None
    missed: int = 0


def read_zone(name: str) -> ZoneInfo:
    """Return a time zone of the IANA database by its name.

    Raises:
        BadCron: There is no time zone of that name.
    """
    try:
        if name[:1].islower():  # localtime, posixrules, right/…: local files that other machines may not have
            raise KeyError(name)
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        shown = "".join(letter if letter.isprintable() else "?" for letter in name[:40])
        raise BadCron(f"there is no time zone {shown!r}; names are like Europe/Berlin or UTC") from error


def next_firing(timing: Timing, due: float, now: float, policy: str) -> Firing:
    """Return the action at `now` for a schedule that was due at `due`, which is not after `now`."""
    passed = latest(timing, due, now, MOST_MISSED)
    if policy == "all":
        at = passed[0]
        return Firing(at, next(timing.due_times(at), None), 0 if at == due else 1)
    at, next_at = passed[-1], next(timing.due_times(now), None)
    if policy == "skip" and now - at > LATE_S:
        return Firing(None, next_at, len(passed))
    return Firing(at, next_at, len(passed) - 1)


def latest(timing: Timing, due: float, now: float, most: int) -> list[float]:
    """Return the latest due times, at most `most`, from `due`, which is one itself, to `now`, in order.

    The search widens backwards from `now`, so that a long downtime costs no more than a short one.
    """
    back_s = 3600.0
    while True:
        after = now - back_s
        if after < due:
            times = takewhile(lambda at: at <= now, timing.due_times(due))
            return list(deque((due, *times), maxlen=most))
        past = list(deque(takewhile(lambda at: at <= now, timing.due_times(after)), maxlen=most))
        if len(past) == most:
            return past
        back_s *= 4
