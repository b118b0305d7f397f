"""The decision after a child has ended, and the bound on restarts. Pure: no trio, no clock, no effects."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from .exit_reasons import Crashed, Exit
from .lifecycle import Decision
from .spec import AutoShutdown, ChildSpec, Directive, Restart, Strategy


def decide(spec: ChildSpec, reason: Exit) -> Decision:
    """Return the spec's decision after this exit: `RESTART`, `STOP` or `ESCALATE`. Intensity and backoff come later."""
    if isinstance(reason, Crashed):
        directive = spec.directive(reason.error)
        if directive is Directive.STOP:
            return Decision.STOP
        if directive is Directive.ESCALATE:
            return Decision.ESCALATE
    if spec.restart is Restart.PERMANENT:
        return Decision.RESTART
    if spec.restart is Restart.TRANSIENT and reason.abnormal:
        return Decision.RESTART
    return Decision.STOP


def affected(strategy: Strategy, ids: Sequence[str], failed: str) -> list[str]:
    """Return the ids to restart, in start order, after `failed`, one of `ids`, has failed. Stop them in reverse."""
    if strategy is Strategy.ONE_FOR_ALL:
        return list(ids)
    if strategy is Strategy.REST_FOR_ONE:
        return list(ids[ids.index(failed) :])
    return [failed]


def shuts_down(auto: AutoShutdown, ended: ChildSpec, significant_left: int) -> bool:
    """Whether the end of `ended` for good ends its supervisor; `significant_left` counts the others still alive."""
    if not ended.significant or auto is AutoShutdown.NEVER:
        return False
    return auto is AutoShutdown.ANY or significant_left == 0


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
