"""When something that broke is opened again: times and errors in, delays out. No trio, no clock."""

from __future__ import annotations

from actors.backoff import Backoff


class ReopenPolicy:
    """Counts the failures in a row of one thing that is opened again and again. All times are on one monotonic clock.

    A failure is an opening that did not succeed, or an end that nobody wanted. The delays are those of the backoff,
    which starts from its minimum again after the thing was open for long enough.
    """

    def __init__(self, backoff: Backoff, now: float) -> None:
        self._backoff = backoff
        self.open: bool = False
        self.since: float = now
        """Since when it is open, or away."""
        self.failures: int = 0
        self.last_error: Exception | None = None
        self._retry_at = now

    def opened(self, now: float) -> None:
        """It is there."""
        self.open = True
        self.since = now

    def lost(self, now: float) -> None:
        """It is of no more use; harmless when it was not open."""
        if self.open:
            if self._backoff.forgets(now - self.since):
                self.failures = 0
            self.open = False
            self.since = now

    def failed(self, error: Exception, now: float, chance: float) -> float:
        """It is gone, or could not be opened; return the seconds until the next try. `chance` is for the jitter."""
        self.lost(now)
        delay_s = self._backoff.delay(self.failures, chance)
        self.failures += 1
        self.last_error = error
        self._retry_at = now + delay_s
        return delay_s

    def retry_in_s(self, now: float) -> float:
        """Seconds until the next try; 0 when it is open, or just being opened."""
        return 0.0 if self.open else max(0.0, self._retry_at - now)
