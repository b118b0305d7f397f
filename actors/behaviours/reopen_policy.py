"""The delays before a resource that broke is reopened, on times handed in: no trio, no clock."""

from __future__ import annotations

from actors.backoff import Backoff


class ReopenPolicy:
    """Counts the failures in a row of one resource. All times are on one monotonic clock.

    A failure is an opening that did not succeed, or an unexpected end. The delays are those of the backoff, which
    starts from its minimum again after the resource was open for long enough.
    """

    def __init__(self, backoff: Backoff, now: float) -> None:
        self._backoff = backoff
        self.open: bool = False
        self.since: float = now
        """The time since which the resource is open or closed."""
        self.failures: int = 0
        self.last_error: Exception | None = None
        self._retry_at = now

    def opened(self, now: float) -> None:
        """Record that the resource is open."""
        self.open = True
        self.since = now

    def lost(self, now: float) -> None:
        """Record that the resource broke; harmless if it was not open."""
        if self.open:
            if self._backoff.forgets(now - self.since):
                self.failures = 0
            self.open = False
            self.since = now

    def failed(self, error: Exception, now: float, chance: float) -> float:
        """Record a failure. Return the seconds until the next attempt. `chance` is for the jitter."""
        self.lost(now)
        delay_s = self._backoff.delay(self.failures, chance)
        self.failures += 1
        self.last_error = error
        self._retry_at = now + delay_s
        return delay_s

    def retry_in_s(self, now: float) -> float:
        """Return the seconds until the next attempt; 0 if the resource is open or being opened."""
        return 0.0 if self.open else max(0.0, self._retry_at - now)
