"""The state machine of a breaker: decides when calls may pass, on times handed in. No trio, no clock.

1. A pair that is not in `TRANSITIONS` raises `InvalidTransition`.
2. Every permit is settled or dropped once. One of an earlier period changes nothing.
3. While half-open, a call passes only if those in flight and those that succeeded are together below `trials`.
4. A dropped permit counts neither as a success nor as a failure.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from attrs import Attribute, field, frozen

from actors.backoff import Backoff
from actors.checks import above_zero, check_count
from actors.lifecycle import InvalidTransition

from .exception_filter import Kinds, matches

RESET: Backoff = Backoff(min_s=1.0, max_s=60.0)
"""Default time that a circuit stays open: a second at first, a minute at most."""


class CircuitState(Enum):
    """Whether calls pass."""

    CLOSED = "closed"
    """All calls pass."""
    OPEN = "open"
    """No call passes until the reset timeout is over."""
    HALF_OPEN = "half_open"
    """At most `trials` calls pass, on trial."""


class CircuitEvent(Enum):
    """An event of a circuit."""

    TRIP = "trip"
    """Too many calls failed, or a trial did."""
    RESET = "rest"
    """The reset timeout is over."""
    RECOVER = "mend"
    """Enough trials succeeded."""


TRANSITIONS: Mapping[tuple[CircuitState, CircuitEvent], CircuitState] = MappingProxyType(
    {
        (CircuitState.CLOSED, CircuitEvent.TRIP): CircuitState.OPEN,
        (CircuitState.OPEN, CircuitEvent.RESET): CircuitState.HALF_OPEN,
        (CircuitState.HALF_OPEN, CircuitEvent.TRIP): CircuitState.OPEN,
        (CircuitState.HALF_OPEN, CircuitEvent.RECOVER): CircuitState.CLOSED,
    }
)
"""The transition table: (state, event) -> next state."""


def _count(_: object, attribute: Attribute[int], value: object) -> None:
    check_count(attribute.name, value)


@frozen
class FailureCount:
    """Open after `limit` failures within `window_s` seconds with no success between them.

    The default limit is that of Pekko's examples; by default failures count until the next success. Raises
    `InvalidSpec` for invalid numbers.
    """

    limit: int = field(default=5, validator=_count)
    window_s: float = field(default=math.inf, validator=above_zero)


@frozen
class CircuitSpec:
    """Decides when a circuit opens, for how long, and which errors count.

    `reset` is the time it stays open: it grows with each trial that fails, and starts again from its minimum once the
    circuit was closed. `trials` calls may pass at once while half-open, and as many have to go well to close it. A call
    that took longer than `slow_call_s` seconds counts as failed whatever it returned. Errors of the kinds `counts` are
    failures, except those of the kinds `excuses`; any other error means that the other side answered, and counts as a
    success. Raises `InvalidSpec` naming the field.
    """

    trip: FailureCount = FailureCount()
    reset: Backoff = RESET
    trials: int = field(default=1, validator=_count)
    slow_call_s: float = field(default=math.inf, validator=above_zero)
    counts: Kinds = (Exception,)
    excuses: Kinds = ()

    def is_failure(self, error: BaseException) -> bool:
        """Whether this error, or one in a group, counts as a failure of the other side."""
        return matches(error, self.counts, self.excuses)


@frozen
class Permit:
    """A call that passed: its start in seconds on the caller's clock, and the period of the circuit."""

    period: int
    since_s: float


class _Count:
    """Failures in a row, each no older than the window; at most `limit` are kept."""

    def __init__(self, rule: FailureCount) -> None:
        self._window_s = rule.window_s
        self._times: deque[float] = deque(maxlen=rule.limit)
        self._limit = rule.limit

    def record(self, failed: bool, now: float) -> bool:
        if not failed:
            self._times.clear()
            return False
        self._times.append(now)
        return self.failures(now) >= self._limit

    def failures(self, now: float) -> int:
        return sum(1 for time in self._times if now - time <= self._window_s)


class Circuit:
    """Closed, open or half-open. All times are seconds on one monotonic clock, handed in."""

    def __init__(self, spec: CircuitSpec) -> None:
        self.spec: CircuitSpec = spec
        self._state = CircuitState.CLOSED
        self._period = 0
        self._tally = _Count(self.spec.trip)
        self._trips = 0  # in a row, without recovery
        self._reopens_at = 0.0
        self._in_flight = 0
        self._succeeded = 0

    def state(self, now: float) -> CircuitState:
        """Return the state at `now`: half-open as soon as the reset timeout is over."""
        if self._state is CircuitState.OPEN and now >= self._reopens_at:
            self._apply(CircuitEvent.RESET)
        return self._state

    def failures(self, now: float) -> int:
        """Return the number of failures that count at `now`; 0 unless closed."""
        return self._tally.failures(now) if self.state(now) is CircuitState.CLOSED else 0

    def retry_after_s(self, now: float) -> float:
        """Return the seconds until calls may pass again; 0 if they may, or if that depends on the trials in flight."""
        return self._reopens_at - now if self.state(now) is CircuitState.OPEN else 0.0

    def admit(self, now: float) -> Permit | None:
        """Return a permit for one call; None if the circuit is open, or half-open with all trials taken."""
        state = self.state(now)
        if state is CircuitState.OPEN:
            return None
        if state is CircuitState.HALF_OPEN:
            if self._in_flight + self._succeeded >= self.spec.trials:
                return None
            self._in_flight += 1
        return Permit(self._period, now)

    def settle(self, permit: Permit, failed: bool, now: float, chance: float) -> None:
        """Record the end of a call at `now`; a slow one failed. `chance`, from 0 to 1, is for the jitter."""
        if self.drop(permit):
            self.record(failed or self.slow(permit, now), now, chance)

    def drop(self, permit: Permit) -> bool:
        """Release the permit of a cancelled call. Return whether it belongs to the present period."""
        if permit.period != self._period:
            return False
        if self._state is CircuitState.HALF_OPEN:
            self._in_flight -= 1
        return True

    def slow(self, permit: Permit, now: float) -> bool:
        """Whether a call that ends at `now` was too slow."""
        return now - permit.since_s > self.spec.slow_call_s

    def record(self, failed: bool, now: float, chance: float) -> None:
        """Record a success or a failure of the other side; while open it changes nothing."""
        match self.state(now):
            case CircuitState.CLOSED:
                if self._tally.record(failed, now):
                    self._trip(now, chance)
            case CircuitState.HALF_OPEN if failed:
                self._trip(now, chance)
            case CircuitState.HALF_OPEN:
                self._succeeded += 1
                if self._succeeded >= self.spec.trials:
                    self._trips = 0
                    self._apply(CircuitEvent.RECOVER)

    def try_now(self, now: float) -> None:
        """Let a trial pass at `now` if the circuit is open."""
        if self._state is CircuitState.OPEN:
            self._reopens_at = min(self._reopens_at, now)

    def _trip(self, now: float, chance: float) -> None:
        self._apply(CircuitEvent.TRIP)
        self._reopens_at = now + self.spec.reset.delay(self._trips, chance)
        self._trips += 1

    def _apply(self, event: CircuitEvent) -> None:
        """Enter the next state, and begin a new period."""
        try:
            self._state = TRANSITIONS[self._state, event]
        except KeyError:
            raise InvalidTransition(self._state, event) from None
        self._period += 1
        self._tally = _Count(self.spec.trip)
        self._in_flight = self._succeeded = 0
