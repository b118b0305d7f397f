"""Rate and size limits of clients, and the token buckets.

Pure: `now` is an argument, in seconds of a monotonic clock.
"""

import math
from collections import OrderedDict
from itertools import islice
from typing import Final

from attrs import define, field, frozen, validators

from transport.wire.commands import Command

_positive = validators.gt(0.0)
_at_least_one = validators.ge(1)


@frozen(kw_only=True)
class ClientLimits:
    """Limits of connections and of what clients send. Sizes are in bytes, `_s` is seconds. A rate allows a burst of one
    minute's worth."""

    frame_bytes: int = field(default=256 * 1024, validator=_at_least_one)
    """The largest frame of a client; a larger one is refused with `message_too_large`."""
    transport_bytes: int = field(default=1024 * 1024, validator=_at_least_one)
    """The largest frame that a socket takes: one beyond it closes the socket with 1009."""
    chunks_bytes: int = field(default=8 * 1024 * 1024, validator=_at_least_one)
    """The largest message of a client that comes in chunks; a larger one is `message_too_large`, and discarded."""
    chunk_s: float = field(default=30.0, validator=_positive)
    """How long the next chunk of a message may take; then the message is an `invalid_command`, and discarded."""
    messages_per_minute: int = field(default=120, validator=_at_least_one)
    """Messages of each user, and other commands that add work; more are `rate_limited`, with `retry_after`."""
    operations_per_minute: int = field(default=120, validator=_at_least_one)
    """Other commands of each user, each kind by itself; more are `rate_limited`, with `retry_after`."""
    signals_per_minute: int = field(default=1200, validator=_at_least_one)
    """Of each user, and each by itself: ping, beyond it `rate_limited`; ack and typing, then dropped and counted."""
    requests_per_minute: int = field(default=6000, validator=_at_least_one)
    """HTTP requests and handshakes of each user; of each address, for those without a valid token. More are 429."""
    connections_per_user: int = field(default=20, validator=_at_least_one)
    """Connections of one user that are open at once, sockets (of which each tab of the chat page has one) and event
    streams together; one more gets `rate_limited`, and is closed with 4429."""
    connections_per_peer: int = field(default=5000, validator=_at_least_one)
    """Connections from one address that are open at once, counted from accept; more are 429. Behind a proxy the address
    is the proxy's, unless `trusted_proxies` names it."""
    connections_total: int = field(default=10_000, validator=_at_least_one)
    """Connections that are open at once, WebSockets and HTTP together; more are answered with 503. At most half of them
    have not authenticated."""
    heartbeat_s: float = field(default=25.0, validator=_positive)
    """Time between two pings; a client that sends nothing for 2.4 times as long is closed with 4408."""
    renewal_s: float = field(default=60.0, validator=_positive)
    """How long a connection whose token has run out may go on to renew it, until it is closed with 4401."""


@define
class TokenBucket:
    """A token bucket of `burst` tokens, refilled evenly at `rate_per_min`. It starts full."""

    rate_per_min: float = field(validator=_positive)
    burst: float = field(validator=validators.ge(1.0))
    _tokens: float = field(init=False)
    _at: float = field(init=False, default=-math.inf)

    def __attrs_post_init__(self) -> None:
        self._tokens = self.burst

    def take(self, now: float) -> float:
        """Take a token and return 0; if there is none, take nothing and return the seconds until there is one."""
        tokens = self.refill(now)
        if tokens < 1:
            return (1 - tokens) * 60 / self.rate_per_min
        self._tokens = tokens - 1
        return 0

    def lower(self, left: float, now: float) -> None:
        """Lower the tokens to at most `left`, which may be negative."""
        self._tokens = min(self.refill(now), left)

    def refill(self, now: float) -> float:
        """Add the tokens that are due. Return how many there are."""
        elapsed = max(0.0, now - self._at)  # a clock that steps back neither adds nor removes tokens
        self._tokens = min(self.burst, self._tokens + elapsed * self.rate_per_min / 60)
        self._at = max(self._at, now)
        return self._tokens


class Ledger:
    """Records tokens taken since the last report, so that other nodes can lower their buckets too.

    Records only while `open`, and for at most `cap` users; further users are limited on this node alone.
    """

    def __init__(self, cap: int = 10_000) -> None:
        self.open = False
        self._cap = cap
        self._taken: dict[tuple[RateLimit, str], int] = {}

    def record(self, rate: "RateLimit", user: str) -> None:
        """Record one token taken from the bucket of a user."""
        key = (rate, user)
        if not self.open or (key not in self._taken and len(self._taken) >= self._cap):
            return
        self._taken[key] = self._taken.get(key, 0) + 1

    def unreported(self, rate: "RateLimit", user: str) -> int:
        """Return how many tokens of this bucket have not been reported."""
        return self._taken.get((rate, user), 0)

    def take_unreported(self, most: int) -> list[tuple["RateLimit", str, int]]:
        """Remove and return the records of at most `most` buckets."""
        return [(*key, self._taken.pop(key)) for key in list(islice(self._taken, most))]


class RateLimit:
    """A token bucket per user, stored only while it is not full, and for at most `max_users` users.

    Beyond that the least recently seen user's bucket is dropped, and starts full the next time. Taken tokens are
    recorded in the `ledger`, if any, under this limit's `name`.
    """

    def __init__(
        self,
        rate_per_min: float,
        burst: float,
        max_users: int = 10_000,
        *,
        name: str = "",
        ledger: Ledger | None = None,
    ) -> None:
        self.rate_per_min = rate_per_min
        self.burst = burst
        self.name = name
        self._ledger = ledger
        self._max_users = max_users
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, user: str, now: float) -> float:
        """Take a token of this user. Return 0, or the seconds after which to retry."""
        bucket = self._buckets.pop(user, None) or TokenBucket(self.rate_per_min, self.burst)
        retry_after = bucket.take(now)
        if retry_after == 0 and self._ledger is not None:
            self._ledger.record(self, user)
        self._buckets[user] = bucket
        while self._buckets:
            oldest = next(iter(self._buckets.values()))
            if len(self._buckets) <= self._max_users and oldest.refill(now) < oldest.burst:
                break
            self._buckets.popitem(last=False)
        return retry_after

    def lower(self, user: str, left: float, now: float) -> None:
        """Lower a user's tokens to at most `left`: other nodes have taken from the shared limit."""
        if left >= self.burst:
            return
        bucket = self._buckets.pop(user, None) or TokenBucket(self.rate_per_min, self.burst)
        bucket.lower(left, now)
        self._buckets[user] = bucket
        if len(self._buckets) > self._max_users:
            self._buckets.popitem(last=False)

    def __len__(self) -> int:
        return len(self._buckets)


MESSAGES: Final = "messages"


class CommandLimits:
    """Rate limits of commands: a bucket per user and kind of command.

    Commands that start work share the bucket of messages; signals have a larger one of their own.
    """

    def __init__(self, limits: ClientLimits, ledger: Ledger | None = None) -> None:
        self._limits = limits
        self._ledger = ledger
        self._rates: dict[str, RateLimit] = {}

    def take(self, user: str, command: Command, now: float) -> float:
        """Take a token for this user's command. Return 0, or the seconds after which to retry."""
        kind = type(command)
        name = MESSAGES if kind.starts_work else kind.__name__
        rate = self._rates.get(name)
        if rate is None:
            rate = self._rates[name] = self._rate(name, kind)
        return rate.take(user, now)

    def _rate(self, name: str, kind: type[Command]) -> RateLimit:
        limits = self._limits
        signal = limits.signals_per_minute if kind.signal else limits.operations_per_minute
        per_minute = limits.messages_per_minute if name == MESSAGES else signal
        return RateLimit(per_minute, per_minute, name=name, ledger=self._ledger)


class RequestLimits:
    """Rate limits of HTTP requests: per user, and per address for requests without a valid token."""

    def __init__(self, per_minute: int, ledger: Ledger | None = None, name: str = "requests") -> None:
        self._users = RateLimit(per_minute, per_minute, name=name, ledger=ledger)
        self._peers = RateLimit(per_minute, per_minute, name=f"{name}-of-peers", ledger=ledger)

    def take(self, user: str | None, peer: str, now: float) -> float:
        """Take a token of the user, or of the address if `user` is None. Return 0, or the seconds to wait."""
        return self._peers.take(peer, now) if user is None else self._users.take(user, now)
