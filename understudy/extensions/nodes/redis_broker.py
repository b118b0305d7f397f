"""The broker between nodes over Redis: inboxes are streams, see `understudy.extensions.nodes.redis_stream`."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from attrs import frozen
from coredis.patterns.pipeline import Pipeline
from coredis.tokens import PureToken

from understudy.extensions.nodes import redis_stream
from understudy.extensions.nodes.broker import (
    ALIVE_S,
    CALL_S,
    CLAIM_MS,
    INBOX_MAXLEN,
    BusEntry,
    TokensTaken,
    inbox_name,
)
from understudy.extensions.nodes.redis import RedisLink
from understudy.storage.errors import RedisRefused

log = logging.getLogger(__name__)

COUNT_TTL_S: Final = 24 * 3600
"""Time to live of the counts of a key that no node reports any more."""

# KEYS: the user. ARGV: this node, its count, the cap (0: none), the prefix of the keys of nodes, the time to live (ms).
# Returns 1, or 0 if the cap is exceeded; then nothing is changed.
_COUNT: Final = """
local here, mine, cap = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local all, sum = redis.call('HGETALL', KEYS[1]), mine
for i = 1, #all, 2 do
  if all[i] ~= here then
    if redis.call('EXISTS', ARGV[4] .. all[i]) == 1 then
      sum = sum + (tonumber(all[i + 1]) or 0)
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
NODES_MAX: Final = 1_000
"""Names of nodes with an inbox that are read at a time, by chance if there are more: others than nodes may add some."""
_NODE: Final = re.compile(rb"[\w.-]{1,128}")
"""The id of a node (`understudy.chat.placement.Node`)."""

# KEYS: the buckets. ARGV, per bucket: tokens per minute, burst, tokens taken. Returns the tokens left, in thousandths.
_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local left = {}
for i, key in ipairs(KEYS) do
  local rate, burst, taken = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local had = redis.call('HMGET', key, 'left', 'at')
  local tokens = burst
  local rest, at = tonumber(had[1] or ''), tonumber(had[2] or '')
  if rest and at then tokens = math.min(burst, rest + math.max(0, now - at) * rate / 60) end
  tokens = math.max(-burst, tokens - taken)
  redis.call('HSET', key, 'left', tostring(tokens), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', key, math.ceil((burst - tokens) * 60000 / rate) + 1000)
  left[i] = math.floor(tokens * 1000)
end
return left
"""


@frozen(eq=False)
class RedisBroker:
    """The broker between nodes: what carries their packets, and counts what they count together.

    Each node has an inbox, whose entries stay until they are acknowledged; and there are channels, whose messages reach
    those who listen.

    Every method raises BrokerUnavailable if Redis does not answer in time: the call may or may not have been executed.
    Those that name an inbox raise BrokerRefused if there is none.
    """

    link: RedisLink

    @property
    def on_change(self) -> list[Callable[[bool], None]]:
        """Callbacks for when the broker goes down (False) and is back (True)."""
        return self.link.on_change

    @property
    def up(self) -> bool:
        """Whether the broker answered last."""
        return self.link.up

    @property
    def last_error(self) -> str:
        """Why the broker went down."""
        return self.link.last_error

    @property
    def database(self) -> int:
        """A number for the names of channels, which differ between installations that share a broker."""
        return self.link.database

    async def wait_up(self) -> None:
        """Wait until the broker answers."""
        await self.link.wait_up()

    async def send(
        self,
        packets: Sequence[tuple[str, bytes]],
        published: Sequence[tuple[str, bytes]],
        acks: Mapping[str, Sequence[bytes]],
        *,
        timeout_s: float = CALL_S,
    ) -> Sequence[object]:
        """Add packets to nodes' inboxes, publish messages to channels, and delete acknowledged entries of inboxes.

        Return a result for each packet: None if its node has no inbox, a BrokerUnavailable if it was refused.
        """

        def fill(pipe: Pipeline[bytes]) -> None:
            for node, data in packets:
                # A node without a stream is down, or creates its stream anew and then catches up from the log.
                pipe.xadd(
                    inbox_name(node),
                    {redis_stream.FIELD: data},
                    nomkstream=True,
                    trim_strategy=PureToken.MAXLEN,
                    trim_operator=PureToken.APPROXIMATELY,
                    threshold=INBOX_MAXLEN,
                )
            for channel, data in published:
                pipe.publish(channel, data)
            for node, entries in acks.items():
                pipe.xack(inbox_name(node), redis_stream.GROUP, entries)
                pipe.xdel(inbox_name(node), entries)

        results = await self.link.batch(fill, timeout_s=timeout_s)
        return results[: len(packets)]

    async def open_inbox(self, node: str) -> tuple[float, bool]:
        """Make a node's inbox if there is none. Return the broker's clock, in Unix seconds, and whether it was made."""
        time, _ = await self.link.batch(lambda pipe: (pipe.time(), pipe.sadd(redis_stream.NODES_WITH_STREAM, [node])))
        inbox = inbox_name(node)
        try:  # alone: in a pipeline, coredis would raise this refusal instead of the results of the other commands
            await self.link.call(lambda redis: redis.xgroup_create(inbox, redis_stream.GROUP, "0", mkstream=True))
        except RedisRefused as refused:
            if "Duplicate" not in refused.reason:
                raise
            return float(time.timestamp()), False
        return float(time.timestamp()), True

    async def read_new(self, node: str, reader: str, *, wait: bool = False) -> Sequence[BusEntry]:
        """Read entries of a node's inbox that nobody has read, as `reader`; with `wait` up to BLOCK_S for one."""
        return await redis_stream.read_new(self.link, node, reader, wait=wait)

    async def claim(
        self, node: str, reader: str, start: str, idle_ms: int = CLAIM_MS
    ) -> tuple[str, Sequence[BusEntry]]:
        """Claim entries that have been unacknowledged for `idle_ms`, from `start` on.

        Return the next `start`, `0-0` at the end, and the entries.
        """
        return await redis_stream.claim(self.link, node, reader, start, idle_ms)

    async def remove_if_empty(self, node: str) -> bool:
        """Delete a node's inbox if it is empty. Return whether it was."""
        return await redis_stream.remove_if_empty(self.link, node)

    async def inboxes(self) -> tuple[Sequence[str], float]:
        """Return the nodes that have an inbox, and the broker's clock in Unix seconds."""
        listed = redis_stream.NODES_WITH_STREAM
        known = await self.link.call(lambda redis: redis.srandmember(listed, count=NODES_MAX))
        found = [each for each in known or () if isinstance(each, bytes)]
        names = {each for each in found if _NODE.fullmatch(each)}
        if others := [each for each in found if each not in names]:
            log.warning("inbox.dropped", extra={"reason": "unreadable", "place": listed, "items": len(others)})
            await self.link.call(lambda redis: redis.srem(listed, others))
        time = await self.link.call(lambda redis: redis.time())
        return [each.decode() for each in names], float(time.timestamp())

    async def listen(
        self, channels: Sequence[str], take: Callable[[str, bytes], None], joined: Callable[[], None]
    ) -> NoReturn:
        """Pass every message published on these channels to `take`, until cancelled.

        `joined` is called at each subscription, the first and those after a fault; messages published in between are
        lost.
        """
        await self.link.listen(channels, take, joined)

    async def renew_presence(self, node: str) -> bool:
        """Renew a node's presence for ALIVE_S. Return whether it had one."""
        key, alive_ms = _NODES + node, int(ALIVE_S * 1000)
        return bool(await self.link.call(lambda redis: redis.set(key, b"1", px=alive_ms, get=True)))

    async def count(self, key: str, node: str, mine: int, cap: int, *, timeout_s: float = CALL_S) -> bool:
        """Set the count of `node` for a key. Return False, with nothing changed, if the nodes exceed `cap` together."""
        found = await self.link.call(
            lambda redis: redis.eval(_COUNT, [key], _arguments(node, mine, cap)), timeout_s=timeout_s
        )
        return found == 1

    async def report_counts(self, node: str, counts: Mapping[str, int]) -> None:
        """Set the counts of `node` for several keys, without a limit."""

        def fill(pipe: Pipeline[bytes]) -> None:
            for key, mine in counts.items():
                pipe.eval(_COUNT, [key], _arguments(node, mine, 0))

        await self.link.batch(fill)

    async def take_tokens(self, taken: Sequence[TokensTaken]) -> Sequence[float]:
        """Take tokens from shared buckets. Return the tokens left in each, at least minus one burst."""
        keys = [each.bucket for each in taken]
        numbers = [number for each in taken for number in (each.rate_per_min, each.burst, each.count)]
        lefts = await self.link.call(lambda redis: redis.eval(_TAKE, keys, tuple(numbers)))
        return [left / 1000 for left in lefts]  # type: ignore[union-attr, operator]


def _arguments(node: str, mine: int, cap: int) -> tuple[str | int, ...]:
    return (node, mine, cap, _NODES, COUNT_TTL_S * 1000)
