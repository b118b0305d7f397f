"""Limits of users that all nodes count together at the broker: their open connections, the rates of their commands.

1. A node reports its own count of a user's connections, not a difference, so a repeated report changes nothing.
2. Dead nodes do not count: a node renews its presence every `PRESENCE_S`, and is considered alive for `ALIVE_S`. A
   connection over the limit is therefore retried for `PATIENCE_S` before it is refused: the other ones may be on a dead
   node whose user is just reconnecting.
3. No command waits for the broker: each node takes tokens from local buckets and reports them every `REPORT_S`. In
   between, a user can overdraw on several nodes, and pays it back: the shared bucket goes below zero, by at most one
   burst, and refills from there.
4. Tokens are never reported twice: if a report may have been lost, it is dropped, in the user's favour.
5. While the broker is down each node counts alone.
"""

import hashlib
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NoReturn

import trio
from attrs import define, field

from actors import Actor, Context
from transport.connection.limits import Ledger, RateLimit
from understudy.extensions.nodes.broker import TokensTaken
from understudy.extensions.nodes.redis_broker import RedisBroker
from understudy.storage.errors import BrokerUnavailable

PRESENCE_S: Final = 0.4
"""Interval at which a node renews its presence and reports changed counts."""
PATIENCE_S: Final = 1.5
"""How long a connection over the limit is retried before it is refused."""
RETRY_S: Final = 0.25
"""Interval of these attempts."""
ENTER_TIMEOUT_S: Final = 0.3
"""Timeout of the call for a new connection; beyond it the connection is admitted by the local count."""
USERS_PER_CALL: Final = 200
"""Limit of counts in one report."""
REPORT_S: Final = 0.1
"""Interval of reports of tokens."""
BUCKETS_PER_CALL: Final = 500
"""Limit of buckets per script call. Each takes the broker a few microseconds, in which it serves no other."""


@define(eq=False)
class ConnectionCounts:
    """The connections of users, at most `cap` each over all nodes. `node` is the id of this node."""

    broker: RedisBroker
    cap: int
    node: str = field(factory=lambda: uuid.uuid4().hex)
    _users: dict[str, str] = field(factory=dict, init=False, repr=False)
    _mine: Counter[str] = field(factory=Counter, init=False, repr=False)
    _unreported: set[str] = field(factory=set, init=False, repr=False)

    async def enter(self, user: str, connection_id: str) -> bool:
        """Count a connection. Return False, with nothing counted, if its user has reached the limit.

        If the connection was counted for another user, it is removed there first.
        """
        self.leave(connection_id)
        self._mine[user] += 1
        self._users[connection_id] = user
        admitted = False
        try:
            admitted = await self._admit(user)
        finally:
            if not admitted:
                self.leave(connection_id)
        return admitted

    def leave(self, connection_id: str) -> None:
        """Stop counting a connection; no effect if it is not counted. The next report has the new count."""
        user = self._users.pop(connection_id, None)
        if user is not None:
            self._mine[user] -= 1
            self._unreported.add(user)
            if not self._mine[user]:
                del self._mine[user]

    async def synchronise(self) -> NoReturn:
        """Renew the presence of this node and report changed counts, until cancelled."""
        while True:
            await self.broker.wait_up()
            with suppress(BrokerUnavailable):  # the link logs it; unreported counts are reported when it is back
                await self._report()
            await trio.sleep(PRESENCE_S)

    async def _report(self) -> None:
        if not await self.broker.renew_presence(self.node):  # it was considered dead, or the broker lost its data
            self._unreported.update(self._mine)
        while some := list(self._unreported)[:USERS_PER_CALL]:
            self._unreported.difference_update(some)
            try:
                await self.broker.report_counts(
                    self.node, {_key("connections", user): self._mine[user] for user in some}
                )
            except BrokerUnavailable:
                self._unreported.update(some)
                raise

    async def _admit(self, user: str) -> bool:
        deadline, key = trio.current_time() + PATIENCE_S, _key("connections", user)
        while True:
            try:
                admitted = await self.broker.count(
                    key, self.node, self._mine[user], self.cap, timeout_s=ENTER_TIMEOUT_S
                )
            except BrokerUnavailable:
                self._unreported.add(user)
                return True
            if admitted:
                return True
            if self._mine[user] > self.cap or trio.current_time() >= deadline:
                return False
            await trio.sleep(RETRY_S)


@define(eq=False)
class SharedRateLimits:
    """Reports the ledger to the broker, and lowers the local buckets by the tokens taken on other nodes.

    `clock` is the clock of the local buckets.
    """

    broker: RedisBroker
    ledger: Ledger = field(factory=Ledger)
    clock: Callable[[], float] = time.monotonic

    async def synchronise(self) -> NoReturn:
        """Report taken tokens until cancelled."""
        news = trio.Event()
        self.ledger.on_entry = lambda: news.set()
        while True:
            await self.broker.wait_up()
            self.ledger.open = True
            await news.wait()
            news = trio.Event()
            await trio.sleep(REPORT_S)
            try:
                while len(taken := self.ledger.take_unreported(BUCKETS_PER_CALL)) == BUCKETS_PER_CALL:
                    await self._report(taken)
                await self._report(taken)
            except BrokerUnavailable:
                self.ledger.open = False  # until the broker is back; each node counts alone

    async def _report(self, taken: Sequence[tuple[RateLimit, str, int]]) -> None:
        if not taken:
            return
        lefts = await self.broker.take_tokens(
            [
                TokensTaken(_key(f"rate:{rate.name}", user), rate.rate_per_min, rate.burst, count)
                for rate, user, count in taken
            ]
        )
        now = self.clock()
        for (rate, user, _), left in zip(taken, lefts, strict=True):
            rate.lower(user, left - self.ledger.unreported(rate, user), now)


class _Synchroniser(Actor):
    def __init__(self, limits: ConnectionCounts | SharedRateLimits) -> None:
        self.limits = limits

    async def on_start(self, context: Context) -> None:
        """Start synchronising; the server does not wait for the broker."""
        context.start_soon(self.limits.synchronise, name="keep")


class ConnectionCountsSync(_Synchroniser):
    """Synchronises connection counts in the background."""


class RateLimitsSync(_Synchroniser):
    """Synchronises rate limits in the background."""


def _key(kind: str, user: str) -> str:
    """Return a key of a user. User names are hashed because keys are visible to operators of a broker."""
    return f"understudy:{kind}:{hashlib.blake2b(user.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"
