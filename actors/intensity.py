"""The bound on restarts: a sliding window, on times handed in."""

from __future__ import annotations

from collections import deque


class Intensity:
    """Counts restarts in a sliding window of `period_s` seconds. Up to `limit` are tolerated.

    The meaning and the defaults (1 in 5 s) are those of Erlang/OTP's supervisor.
    """

    __slots__ = ("_times", "limit", "period_s")

    def __init__(self, limit: int, period_s: float) -> None:
        self.limit: int = limit
        self.period_s: float = period_s
        self._times: deque[float] | None = None  # most supervisors never need one

    def record(self, now: float) -> bool:
        """Count one restart attempt at `now` (monotonic seconds). Return whether it is tolerated."""
        times = self._times
        if times is None:
            times = self._times = deque()
        while times and times[0] < now - self.period_s:
            times.popleft()
        if len(times) > self.limit:
            times.popleft()  # no more than limit + 1 are ever counted
        times.append(now)
        return len(times) <= self.limit

    def count(self, now: float) -> int:
        """Return the number of attempts in the window at `now`; at most `limit + 1` are kept."""
        return sum(1 for time in self._times or () if time >= now - self.period_s)
