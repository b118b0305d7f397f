"""Limits of users that all nodes count together, in Redis: their open connections, and the rates of their commands.

1. A node reports its own count of a user's connections, not a difference, so a repeated report changes nothing.
2. Dead nodes do not count: a node renews its presence every `PRESENCE_S`, and is considered alive for `ALIVE_S`. A
   connection over the limit is therefore retried for `PATIENCE_S` before it is refused: the other ones may be on a dead
   node whose user is just reconnecting.
3. No command waits for Redis: each node takes tokens from local buckets and reports them every `REPORT_S`. In between,
   a user can overdraw on several nodes, and pays it back: the shared bucket goes below zero, by at most one burst, and
   refills from there.
4. Tokens are never reported twice: if a report may have been lost, it is dropped, in the user's favour.
5. While Redis is down each node counts alone.
"""

import hashlib
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn

import trio
from attrs import define, field
from coredis.patterns.pipeline import Pipeline

from actors import Actor, Context
from transport.connection.limits import Ledger, RateLimit
from understudy.storage.errors import RedisUnavailable
from understudy.storage.redis import RedisLink

PRESENCE_S: Final = 0.4
"""Interval at which a node renews its presence and reports changed counts."""
ALIVE_S: Final = 1.2
"""Time to live of a node's presence."""
PATIENCE_S: Final = 1.5
"""How long a connection over the limit is retried before it is refused."""
RETRY_S: Final = 0.25
"""Interval of these attempts."""
ENTER_TIMEOUT_S: Final = 0.3
"""Timeout of the Redis call for a new connection; beyond it the connection is admitted by the local count."""
USERS_PER_CALL: Final = 200
"""Limit of counts in one report."""
COUNT_TTL_S: Final = 24 * 3600
"""Time to live of the counts of a user that no node reports any more."""
REPORT_S: Final = 0.1
"""Interval of reports of tokens."""
BUCKETS_PER_CALL: Final = 500
"""Limit of buckets per script call. Each takes Redis a few microseconds, in which it serves no other client."""

# KEYS: the user. ARGV: this node, its count, the cap (0: none), the prefix of the keys of nodes, the time to live (ms).
# Returns 1, or 0 if the cap is exceeded; then nothing is changed.
_COUNT: Final = """
local here, mine, cap = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local all, sum = redis.call('HGETALL', KEYS[1]), mine
for i = 1, #all, 2 do
  if all[i] ~= here then
    if redis.call('EXISTS', ARGV[4] .. all[i]) == 1 then
      sum = sum + tonumber(all[i + 1])
    else
      redis.call('HDEL', KEYS[1], all[i])
    end
  end
end
if cap > 0 and sum > cap then return 0 end
if mine == 0 then
  redis.call('HDEL', KEYS[1], here)
else
  redis.call('HSET', KEYS[1], here, mine)
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
return 1
"""
_NODES: Final = "understudy:here:"

# KEYS: the buckets. ARGV, per bucket: tokens per minute, burst, tokens taken. Returns the tokens left, in thousandths.
_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local left = {}
for i, key in ipairs(KEYS) do
  local rate, burst, taken = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local had = redis.call('HMGET', key, 'left', 'at')
  local tokens = burst
  if had[1] then tokens = math.min(burst, had[1] + math.max(0, now - had[2]) * rate / 60) end
  tokens = math.max(-burst, tokens - taken)
  redis.call('HSET', key, 'left', tostring(tokens), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', key, math.ceil((burst - tokens) * 60000 / rate) + 1000)
  left[i] = math.floor(tokens * 1000)
end
return left
"""


@define(eq=False)
class ConnectionCounts:
    """The connections of users, at most `cap` each over all nodes. `node` is the id of this node."""

    link: RedisLink
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
        """Stop counting a connection; no effect if it is not counted. Redis gets the new count at the next report."""
        user = self._users.pop(connection_id, None)
        if user is not None:
            self._mine[user] -= 1
            self._unreported.add(user)
            if not self._mine[user]:
                del self._mine[user]

    async def synchronise(self) -> NoReturn:
        """Renew the presence of this node and report changed counts, until cancelled."""
        while True:
            await self.link.wait_up()
            with suppress(RedisUnavailable):  # the link logs it; unreported counts are reported when Redis is back
                await self._report()
            await trio.sleep(PRESENCE_S)

    async def _report(self) -> None:
        key, alive_ms = _NODES + self.node, int(ALIVE_S * 1000)
        before = await self.link.call(lambda redis: redis.set(key, b"1", px=alive_ms, get=True))
        if before is None:  # other nodes considered this one dead, or Redis lost its data
            self._unreported.update(self._mine)
        while some := list(self._unreported)[:USERS_PER_CALL]:
            self._unreported.difference_update(some)
            try:
                await self.link.batch(partial(self._fill, some))
            except RedisUnavailable:
                self._unreported.update(some)
                raise

    def _fill(self, users: Sequence[str], pipe: Pipeline[bytes]) -> None:
        for user in users:
            pipe.eval(_COUNT, [_key("connections", user)], self._arguments(self._mine[user], 0))

    async def _admit(self, user: str) -> bool:
        deadline, keys = trio.current_time() + PATIENCE_S, [_key("connections", user)]
        while True:
            try:
                found = await self.link.call(
                    lambda redis: redis.eval(_COUNT, keys, self._arguments(self._mine[user], self.cap)),
                    timeout_s=ENTER_TIMEOUT_S,
                )
            except RedisUnavailable:
                self._unreported.add(user)
                return True
            if found == 1:
                return True
            if self._mine[user] > self.cap or trio.current_time() >= deadline:
                return False
            await trio.sleep(RETRY_S)

    def _arguments(self, mine: int, cap: int) -> tuple[str | int, ...]:
        return (self.node, mine, cap, _NODES, COUNT_TTL_S * 1000)


@define(eq=False)
class SharedRateLimits:
    """Reports the ledger to Redis, and lowers the local buckets by the tokens taken on other nodes.

    `clock` is the clock of the local buckets.
    """

    link: RedisLink
    ledger: Ledger = field(factory=Ledger)
    clock: Callable[[], float] = time.monotonic

    async def synchronise(self) -> NoReturn:
        """Report taken tokens until cancelled."""
        news = trio.Event()
        self.ledger.on_entry = lambda: news.set()
        while True:
            await self.link.wait_up()
            self.ledger.open = True
            await news.wait()
            news = trio.Event()
            await trio.sleep(REPORT_S)
            try:
                while len(taken := self.ledger.take_unreported(BUCKETS_PER_CALL)) == BUCKETS_PER_CALL:
                    await self._report(taken)
                await self._report(taken)
            except RedisUnavailable:
                self.ledger.open = False  # until Redis is back; each node counts alone

    async def _report(self, taken: Sequence[tuple[RateLimit, str, int]]) -> None:
        if not taken:
            return
        keys = [_key(f"rate:{rate.name}", user) for rate, user, _ in taken]
        numbers = [number for rate, _, count in taken for number in (rate.rate_per_min, rate.burst, count)]
        lefts = await self.link.call(lambda redis: redis.eval(_TAKE, keys, tuple(numbers)))
        now = self.clock()
        for (rate, user, _), left in zip(taken, lefts, strict=True):  # type: ignore[arg-type]
            rate.lower(user, left / 1000 - self.ledger.unreported(rate, user), now)


class _Synchroniser(Actor):
    def __init__(self, limits: ConnectionCounts | SharedRateLimits) -> None:
        self.limits = limits

    async def on_start(self, context: Context) -> None:
        """Start synchronising; the server does not wait for Redis."""
        context.start_soon(self.limits.synchronise, name="keep")


class ConnectionCountsSync(_Synchroniser):
    """Synchronises connection counts in the background."""


class RateLimitsSync(_Synchroniser):
    """Synchronises rate limits in the background."""


def _key(kind: str, user: str) -> str:
    """Return a key of a user. User names are hashed because keys are visible to operators of Redis."""
    return f"understudy:{kind}:{hashlib.blake2b(user.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"
