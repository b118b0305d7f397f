"""Token buckets: how often something may be done, for each key. Data in, times out; no clock, no trio.

A bucket is one number, the time at which it will be full again: taking a token moves it on by 1 / rate. So it never
drifts, needs no refilling, and a full bucket need not be kept at all.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from attrs import Attribute, field, frozen

from actors.errors import InvalidSpec

SWEEP_ABOVE = 64
"""Keys are looked through for idle ones each time their number doubled, and not below this many."""


@frozen
class Rate:
    """So many tokens a second in the long run, and up to `burst` at once after a quiet time.

    Raises `InvalidSpec` for numbers that make no sense.
    """

    per_s: float = field()
    burst: int = field(default=1)

    @per_s.validator
    def _check_rate(self, _: Attribute[float], value: float) -> None:
        if not (math.isfinite(value) and value > 0):
            raise InvalidSpec("per_s", "must be a finite number above zero")

    @burst.validator
    def _check_burst(self, _: Attribute[int], value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidSpec("burst", "must be a whole number above zero")


class Buckets:
    """One bucket for each key, all of one rate. At most `max_keys` are in use at once; idle ones are forgotten.

    A key that finds no place waits until the first of the others is idle. All times are seconds on one monotonic clock.
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
        """When the key has a token to take; a time that is not after `now` means at once."""
        full_at = self._full_at.get(key)
        if full_at is not None:
            return full_at - self._slack_s
        if len(self._full_at) >= self._sweep_at and now >= self._first_idle_at:
            self._sweep(now)
        return now if len(self._full_at) < self.max_keys else self._first_idle_at

    def take(self, key: Hashable, now: float) -> None:
        """Take a token of a key that is ready."""
        self._full_at[key] = max(self._full_at.get(key, now), now) + 1 / self.rate.per_s

    def _sweep(self, now: float) -> None:
        """Forget the full buckets."""
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        self._first_idle_at = min(self._full_at.values(), default=-math.inf)
        self._sweep_at = min(max(SWEEP_ABOVE, 2 * len(self._full_at)), self.max_keys)
