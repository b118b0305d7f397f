"""Rate limits shared by all nodes: each node takes tokens from local buckets and reports them to Redis every 100 ms.

1. No command waits for Redis. In between, a user can overdraw on several nodes, and pays it back: the shared bucket
   goes below zero, by at most one burst, and refills from there.
2. Tokens are never reported twice: if a report may have been lost, it is dropped, in the user's favour.
3. While Redis is down each node counts alone.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import trio
from attrs import define, field

from actors import Actor, Context
from transport.connection.limits import Ledger, RateLimit
from understudy.storage.errors import RedisUnavailable
from understudy.storage.redis import RedisLink

EVERY_S: Final = 0.1
TOGETHER: Final = 500
"""Limit of buckets per script call. Each takes Redis a few microseconds, in which it serves no other client."""

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

Taken = Sequence[tuple[RateLimit, str, int]]


@define(eq=False)
class SharedRateLimits:
    """Reports the ledger to Redis, and lowers the local buckets by the tokens taken on other nodes.

    `clock` is the clock of the local buckets.
    """

    link: RedisLink
    ledger: Ledger = field(factory=Ledger)
    clock: Callable[[], float] = time.monotonic

    async def keep(self) -> NoReturn:
        """Synchronise until cancelled."""
        news = trio.Event()
        self.ledger.on_entry = lambda: news.set()
        while True:
            await self.link.wait_up()
            self.ledger.open = True
            await news.wait()
            news = trio.Event()
            await trio.sleep(EVERY_S)
            try:
                while len(taken := self.ledger.take_unreported(TOGETHER)) == TOGETHER:
                    await self._tell(taken)
                await self._tell(taken)
            except RedisUnavailable:
                self.ledger.open = False  # until Redis is back; each node counts alone

    async def _tell(self, taken: Taken) -> None:
        if not taken:
            return
        keys = [_key(rate.name, user) for rate, user, _ in taken]
        numbers = [number for rate, _, count in taken for number in (rate.rate_per_min, rate.burst, count)]
        lefts = await self.link.call(lambda redis: redis.eval(_TAKE, keys, tuple(numbers)))
        now = self.clock()
        for (rate, user, _), left in zip(taken, lefts, strict=True):  # type: ignore[arg-type]
            rate.lower(user, left / 1000 - self.ledger.unreported(rate, user), now)


class RateLimitsSync(Actor):
    """Synchronises rate limits in the background."""

    def __init__(self, rates: SharedRateLimits) -> None:
        self.rates = rates

    async def on_start(self, context: Context) -> None:
        """Start synchronising; the server does not wait for Redis."""
        context.start_soon(self.rates.keep, name="keep")


def _key(name: str, user: str) -> str:
    """Return the key of a bucket. User names are hashed because keys are visible to operators of Redis."""
    return f"understudy:rate:{name}:{hashlib.blake2b(user.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"
