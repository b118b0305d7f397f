"""How many restarts are too many: a sliding window on a clock handed in."""

from __future__ import annotations

from collections import deque


class Intensity:
    """Counts restarts in a sliding window of `period_s` seconds; `limit` of them are fine, the next is not.

    The meaning and the defaults (1 in 5 s) are those of Erlang/OTP's supervisor.
    """

    __slots__ = ("_times", "limit", "period_s")

    def __init__(self, limit: int, period_s: float) -> None:
        self.limit: int = limit
        self.period_s: float = period_s
        self._times: deque[float] | None = None  # most supervisors never need one

    def record(self, now: float) -> bool:
        """Count one restart attempt at `now` (seconds, monotonic); return whether it is still tolerated."""
        times = self._times
        if times is None:
            times = self._times = deque()
        while times and times[0] < now - self.period_s:
            times.popleft()
        if len(times) > self.limit:
            times.popleft()  # one more than the limit is as much as anybody asks about
        times.append(now)
        return len(times) <= self.limit

    def count(self, now: float) -> int:
        """How many attempts the window holds at `now`; at most `limit + 1` are remembered."""
        return sum(1 for time in self._times or () if time >= now - self.period_s)
