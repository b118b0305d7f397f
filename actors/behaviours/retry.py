"""Retry policy: the delay before the next attempt, as a pure function. No trio, no clock."""

from __future__ import annotations

import math

from attrs import frozen

from actors.backoff import Backoff
from actors.checks import check_count

from .exception_filter import Kinds, leaf_errors, matches

DELAYS: Backoff = Backoff()
"""Default delays between attempts: from a tenth of a second to half a minute."""


@frozen
class Retry:
    """At most `attempts` in all, with the delays of `backoff` between them.

    Errors of the kinds `on`, and of none of the kinds `never`, are retried; in a group, every error must be of those.
    After an error with a `retry_after_s` in seconds, such as `CircuitOpen`, the delay is at least that. Raises
    `InvalidSpec` for an invalid number of attempts.
    """

    attempts: int = 3
    backoff: Backoff = DELAYS
    on: Kinds = (Exception,)
    never: Kinds = ()

    def __attrs_post_init__(self) -> None:
        check_count("attempts", self.attempts)

    def delay_s(self, attempt: int, error: Exception, chance: float) -> float | None:
        """Return the seconds from the failure of this attempt (the first is 1) to the next, or None after the last.

        `chance`, from 0 to 1, is for the jitter.
        """
        if attempt >= self.attempts or not all(matches(leaf, self.on, self.never) for leaf in leaf_errors(error)):
            return None
        hinted_s = max(_retry_after_s(leaf) for leaf in leaf_errors(error))
        return max(self.backoff.delay(attempt - 1, chance), hinted_s)


def _retry_after_s(error: BaseException) -> float:
    """Return the `retry_after_s` of the error in seconds, or 0."""
    seconds = getattr(error, "retry_after_s", None)
    return seconds if isinstance(seconds, int | float) and math.isfinite(seconds) else 0.0


ONCE: Retry = Retry(attempts=1)
"""No second attempt."""
