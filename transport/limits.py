"""How much one client may ask for: the settings, and the counting.

Pure: `now` is an argument, in seconds of any clock that does not step.
"""

import math
from collections import OrderedDict

from attrs import define, field, frozen, validators

_positive = validators.gt(0.0)
_at_least_one = validators.ge(1)


@frozen(kw_only=True)
class Limits:
    """Every limit of the protocol, each a setting. Sizes are in bytes; `_s` is seconds.

    `frame_bytes` bounds what a client may send in one frame before it gets `message_too_large`; `transport_bytes` is
    the socket's own bound, past which it is closed with 1009.
    """

    frame_bytes: int = field(default=256 * 1024, validator=_at_least_one)
    transport_bytes: int = field(default=1024 * 1024, validator=_at_least_one)
    messages_per_minute: int = field(default=120, validator=_at_least_one)
    connections_per_user: int = field(default=3, validator=_at_least_one)
    runs_per_user: int = field(default=10, validator=_at_least_one)
    runs_total: int = field(default=1000, validator=_at_least_one)
    run_s: float = field(default=30.0, validator=_positive)
    heartbeat_s: float = field(default=25.0, validator=_positive)
    history_messages: int = field(default=100, validator=_at_least_one)


@define
class TokenBucket:
    """Room for `burst` at once, refilled evenly at `rate_per_min`. It starts full."""

    rate_per_min: float = field(validator=_positive)
    burst: float = field(validator=validators.ge(1.0))
    _tokens: float = field(init=False)
    _at: float = field(init=False, default=-math.inf)

    def __attrs_post_init__(self) -> None:
        self._tokens = self.burst

    def take(self, now: float) -> float:
        """Take one. Returns 0 when it was there, else the seconds until it will be; then nothing was taken."""
        self._refill(now)
        if self._tokens >= 1:
            self._tokens -= 1
            return 0
        return (1 - self._tokens) * 60 / self.rate_per_min

    def full(self, now: float) -> bool:
        """Whether the bucket is as good as a new one."""
        self._refill(now)
        return self._tokens >= self.burst

    def _refill(self, now: float) -> None:
        elapsed = max(0.0, now - self._at)  # a clock that steps back gives nothing and takes nothing
        self._tokens = min(self.burst, self._tokens + elapsed * self.rate_per_min / 60)
        self._at = max(self._at, now)


class RateLimit:
    """A bucket for each user, kept only while it is not full, and for at most `max_users` users.

    Past that the user heard of least recently gets a fresh bucket the next time.
    """

    def __init__(self, rate_per_min: float, burst: float, max_users: int = 10_000) -> None:
        self._rate_per_min = rate_per_min
        self._burst = burst
        self._max_users = max_users
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, user: str, now: float) -> float:
        """Take one for this user. Returns 0, or the seconds after which it makes sense to try again."""
        bucket = self._buckets.pop(user, None) or TokenBucket(self._rate_per_min, self._burst)
        retry_after = bucket.take(now)
        self._buckets[user] = bucket
        self._prune(now)
        return retry_after

    def __len__(self) -> int:
        return len(self._buckets)

    def _prune(self, now: float) -> None:
        while self._buckets:
            oldest = next(iter(self._buckets.values()))
            if len(self._buckets) <= self._max_users and not oldest.full(now):
                return
            self._buckets.popitem(last=False)


class Counter:
    """How many of something each user has at the moment, at most `cap`. Users who have none are not kept."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self._held: dict[str, int] = {}

    def enter(self, user: str) -> bool:
        """Count one more for this user; False when the user has `cap` already, and then nothing is counted."""
        held = self._held.get(user, 0)
        if held >= self.cap:
            return False
        self._held[user] = held + 1
        return True

    def leave(self, user: str) -> None:
        """Count one less, once for each `enter` that returned True. Raises ValueError when the user has none."""
        held = self._held.get(user, 0)
        if held == 0:
            raise ValueError("left more often than entered")
        if held == 1:
            del self._held[user]
        else:
            self._held[user] = held - 1

    def held(self, user: str) -> int:
        """How many this user has."""
        return self._held.get(user, 0)
