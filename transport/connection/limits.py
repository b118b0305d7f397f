"""How much one client may ask for: the settings, and the counting.

Pure: `now` is an argument, in seconds of any clock that does not step.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final

from attrs import define, field, frozen, validators

from transport.wire.commands import Ack, ClientPing, Edit, Regenerate, Say, UserTyping

_positive = validators.gt(0.0)
_at_least_one = validators.ge(1)


@frozen(kw_only=True)
class Limits:
    """Every limit of the protocol, each a setting. Sizes are in bytes; `_s` is seconds.

    `frame_bytes` bounds what a client may send in one frame before it gets `message_too_large`; `transport_bytes` is
    the socket's own bound, past which it is closed with 1009. `chunks_bytes` bounds a message sent in chunks, and
    `chunk_s` the wait for the next of them. `runs_per_tenant` is how many runs the users of one tenant have at
    work at once, half of `runs_total` unless set; `runs_waiting` how many runs wait for a place at once, in all.
    `processes_per_user` is how many processes for tables and charts work for one user at once.
    `files_bytes_…` and `threads_bytes_…` bound what a user, and the users of a tenant together, have stored.
    `approval_s` is how long a tool call waits for its user's decision, `renewal_s` how long a connection lives on
    after its token.

    Of the rates, each with room for a minute's worth at once: `operations_per_minute` holds for each kind of command
    of a user that is neither a message nor a signal, `signals_per_minute` for each kind that is one (see
    `CommandLimits`), `requests_per_minute` for the HTTP requests of a user, or of an address without a valid token,
    `sessions_per_minute` for the anonymous sessions that an address begins. `connections_total` is how many
    connections of both kinds may be open at once, `connections_per_peer` how many sockets of one address.
    """

    frame_bytes: int = field(default=256 * 1024, validator=_at_least_one)
    transport_bytes: int = field(default=1024 * 1024, validator=_at_least_one)
    chunks_bytes: int = field(default=8 * 1024 * 1024, validator=_at_least_one)
    chunk_s: float = field(default=30.0, validator=_positive)
    messages_per_minute: int = field(default=120, validator=_at_least_one)
    operations_per_minute: int = field(default=120, validator=_at_least_one)
    signals_per_minute: int = field(default=1200, validator=_at_least_one)
    requests_per_minute: int = field(default=6000, validator=_at_least_one)
    sessions_per_minute: int = field(default=600, validator=_at_least_one)
    connections_per_user: int = field(default=20, validator=_at_least_one)
    connections_per_peer: int = field(default=5000, validator=_at_least_one)
    connections_total: int = field(default=10_000, validator=_at_least_one)
    runs_per_user: int = field(default=10, validator=_at_least_one)
    runs_per_tenant: int | None = field(default=None, validator=validators.optional(_at_least_one))
    runs_total: int = field(default=1000, validator=_at_least_one)
    runs_waiting: int = field(default=1000, validator=_at_least_one)
    processes_per_user: int = field(default=2, validator=_at_least_one)
    files_bytes_per_user: int = field(default=1024**3, validator=_at_least_one)
    files_bytes_per_tenant: int = field(default=50 * 1024**3, validator=_at_least_one)
    threads_bytes_per_user: int = field(default=1024**3, validator=_at_least_one)
    threads_bytes_per_tenant: int = field(default=50 * 1024**3, validator=_at_least_one)
    run_s: float = field(default=30.0, validator=_positive)
    approval_s: float = field(default=300.0, validator=_positive)
    heartbeat_s: float = field(default=25.0, validator=_positive)
    renewal_s: float = field(default=60.0, validator=_positive)
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

    def lower(self, left: float, now: float) -> None:
        """Let no more than `left` be in it, which may be less than nothing."""
        self._refill(now)
        self._tokens = min(self._tokens, left)

    def full(self, now: float) -> bool:
        """Whether the bucket is as good as a new one."""
        self._refill(now)
        return self._tokens >= self.burst

    def _refill(self, now: float) -> None:
        elapsed = max(0.0, now - self._at)  # a clock that steps back gives nothing and takes nothing
        self._tokens = min(self.burst, self._tokens + elapsed * self.rate_per_min / 60)
        self._at = max(self._at, now)


class Ledger:
    """What was taken from buckets since somebody last looked, so that others who have such buckets can be told.

    While it is not `open` nothing is written down; nor is it for more than `cap` users at a time, who are counted here
    alone then. `on_entry` is told of the first entry.
    """

    def __init__(self, cap: int = 10_000) -> None:
        self.open = False
        self.on_entry: Callable[[], object] = lambda: None
        self._cap = cap
        self._taken: dict[tuple[RateLimit, str], int] = {}

    def record(self, rate: "RateLimit", user: str) -> None:
        """One was taken from the bucket of a user."""
        key = (rate, user)
        if not self.open or (key not in self._taken and len(self._taken) >= self._cap):
            return
        if not self._taken:
            self.on_entry()
        self._taken[key] = self._taken.get(key, 0) + 1

    def unreported(self, rate: "RateLimit", user: str) -> int:
        """How many were taken and not told yet."""
        return self._taken.get((rate, user), 0)

    def take_unreported(self, most: int) -> list[tuple["RateLimit", str, int]]:
        """What was taken, of at most so many buckets; it is not told again."""
        return [(*key, self._taken.pop(key)) for key in list(islice(self._taken, most))]


class RateLimit:
    """A bucket for each user, kept only while it is not full, and for at most `max_users` users.

    Past that the user heard of least recently gets a fresh bucket the next time. With a `ledger` what is taken is
    written down there, under this limit's `name`.
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
        """Take one for this user. Returns 0, or the seconds after which it makes sense to try again."""
        bucket = self._buckets.pop(user, None) or TokenBucket(self.rate_per_min, self.burst)
        retry_after = bucket.take(now)
        if retry_after == 0 and self._ledger is not None:
            self._ledger.record(self, user)
        self._buckets[user] = bucket
        self._prune(now)
        return retry_after

    def lower(self, user: str, left: float, now: float) -> None:
        """Let a user have no more than `left`: others have taken from the bucket that all share."""
        if left >= self.burst:
            return
        bucket = self._buckets.pop(user, None) or TokenBucket(self.rate_per_min, self.burst)
        bucket.lower(left, now)
        self._buckets[user] = bucket
        self._prune(now)

    def __len__(self) -> int:
        return len(self._buckets)

    def _prune(self, now: float) -> None:
        while self._buckets:
            oldest = next(iter(self._buckets.values()))
            if len(self._buckets) <= self._max_users and not oldest.full(now):
                return
            self._buckets.popitem(last=False)


MESSAGES: Final = "messages"
SIGNALS: Final = frozenset({Ack, UserTyping, ClientPing})
SILENTLY_LIMITED: Final = frozenset({Ack, UserTyping})
_AS_MESSAGES: Final = frozenset({Say, Edit, Regenerate})


class CommandLimits:
    """How often each user may do what: every kind of command has a bucket of its own.

    What starts a run (`Say`, `Edit`, `Regenerate`) shares that of messages. `SIGNALS` are cheap and frequent. One too
    many of those in `UNTOLD` is not taken, and nobody is told: the next one says the same, and more.
    """

    def __init__(self, limits: Limits, ledger: Ledger | None = None) -> None:
        self._limits = limits
        self._ledger = ledger
        self._rates: dict[str, RateLimit] = {}

    def take(self, user: str, command: object, now: float) -> float:
        """Take one for this user. Returns 0, or the seconds after which it makes sense to try again."""
        kind = type(command)
        name = MESSAGES if kind in _AS_MESSAGES else kind.__name__
        rate = self._rates.get(name)
        if rate is None:
            rate = self._rates[name] = self._rate(name, kind)
        return rate.take(user, now)

    def _rate(self, name: str, kind: type[object]) -> RateLimit:
        limits = self._limits
        signal = limits.signals_per_minute if kind in SIGNALS else limits.operations_per_minute
        per_minute = limits.messages_per_minute if name == MESSAGES else signal
        return RateLimit(per_minute, per_minute, name=name, ledger=self._ledger)


class RequestLimits:
    """How often somebody may ask over HTTP: each user, and each address, for requests without a valid token."""

    def __init__(self, per_minute: int, ledger: Ledger | None = None, name: str = "requests") -> None:
        self._users = RateLimit(per_minute, per_minute, name=name, ledger=ledger)
        self._peers = RateLimit(per_minute, per_minute, name=f"{name}-of-peers", ledger=ledger)

    def take(self, user: str | None, peer: str, now: float) -> float:
        """Take one for this user, or for the address when there is none; as `RateLimit.take`."""
        return self._peers.take(peer, now) if user is None else self._users.take(user, now)
