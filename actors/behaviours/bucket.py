"""Token buckets: a rate limit for each key. Pure, on times handed in: no clock, no trio.

A bucket is one number, the time at which it will be full again: taking a token adds 1 / rate. So it never
drifts, needs no refilling, and a full bucket is not stored.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from attrs import frozen

from actors.checks import check_count
from actors.errors import InvalidSpec

SWEEP_ABOVE = 64
"""Idle keys are removed each time the number of keys has doubled, but not below this many."""


@frozen
class Rate:
    """`per_s` tokens a second on average, and up to `burst` at once after an idle time.

    Raises `InvalidSpec` for invalid numbers.
    """

    per_s: float
    burst: int = 1

    def __attrs_post_init__(self) -> None:
        if not (math.isfinite(self.per_s) and self.per_s > 0):
            raise InvalidSpec("per_s", "must be a finite number above zero")
        check_count("burst", self.burst)


class Buckets:
    """One bucket for each key, all of one rate. At most `max_keys` are in use at once; idle ones are removed.

    A key beyond that waits until the first of the others is idle. All times are seconds on one monotonic clock.
    """

    def __init__(self, rate: Rate, *, max_keys: int = 1024) -> None:
        if max_keys < 1:
            raise InvalidSpec("max_keys", "must be above zero")
        self.rate: Rate = rate
        self.max_keys: int = max_keys
        self._slack_s = (rate.burst - 1) / rate.per_s
        self._full_at: dict[Hashable, float] = {}
        self._sweep_at = min(SWEEP_ABOVE, max_keys)
        self._first_idle_at = -math.inf

    def __len__(self) -> int:
        return len(self._full_at)

    def ready_at(self, key: Hashable, now: float) -> float:
        """Return when the key has a token; a time not after `now` means at once."""
        full_at = self._full_at.get(key)
        if full_at is not None:
            return full_at - self._slack_s
        if len(self._full_at) >= self._sweep_at and now >= self._first_idle_at:
            self._sweep(now)
        return now if len(self._full_at) < self.max_keys else self._first_idle_at

    def take(self, key: Hashable, now: float) -> None:
        """Take a token of a ready key."""
        self._full_at[key] = max(self._full_at.get(key, now), now) + 1 / self.rate.per_s

    def _sweep(self, now: float) -> None:
        """Remove the full buckets."""
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        self._first_idle_at = min(self._full_at.values(), default=-math.inf)
        self._sweep_at = min(max(SWEEP_ABOVE, 2 * len(self._full_at)), self.max_keys)
