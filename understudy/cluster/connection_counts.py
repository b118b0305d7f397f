"""Connection counts per user over all nodes, in Redis.

1. A node reports its own count of a user, not a difference, so a repeated report changes nothing.
2. Dead nodes do not count: a node renews its presence every `HERE_S`, and is considered alive for `BELIEVED_S`. A
   connection over the limit is therefore retried for `PATIENCE_S` before it is refused: the other ones may be on a dead
   node whose user is just reconnecting.
3. While Redis is down each node counts alone.
"""

import hashlib
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn

import trio
from attrs import define, field
from coredis.patterns.pipeline import Pipeline

from actors import Actor, Context
from understudy.storage.errors import RedisUnavailable
from understudy.storage.redis import RedisLink

HERE_S: Final = 0.4
BELIEVED_S: Final = 1.2
PATIENCE_S: Final = 1.5
"""How long a connection over the limit is retried before it is refused."""
AGAIN_S: Final = 0.25
ANSWER_S: Final = 0.3
"""Timeout of the Redis call for a new connection; beyond it the connection is admitted by the local count."""
TOGETHER: Final = 200
KEPT_S: Final = 24 * 3600
"""Time to live of the counts of a user that no node reports any more."""

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


@define(eq=False)
class ConnectionCounts:
    """The connections of users, at most `cap` each over all nodes. `node` is the id of this node."""

    link: RedisLink
    cap: int
    node: str = field(factory=lambda: uuid.uuid4().hex)
    _users: dict[str, str] = field(factory=dict, init=False, repr=False)
    _mine: Counter[str] = field(factory=Counter, init=False, repr=False)
    _untold: set[str] = field(factory=set, init=False, repr=False)

    async def enter(self, user: str, connection_id: str) -> bool:
        """Count a connection. Return False, with nothing counted, if its user has reached the limit.

        If the connection was counted for another user, it is removed there first.
        """
        self.leave(connection_id)
        self._mine[user] += 1
        self._users[connection_id] = user
        let_in = False
        try:
            let_in = await self._may(user)
        finally:
            if not let_in:
                self.leave(connection_id)
        return let_in

    def leave(self, connection_id: str) -> None:
        """Stop counting a connection; no effect if it is not counted. Redis gets the new count at the next report."""
        user = self._users.pop(connection_id, None)
        if user is not None:
            self._mine[user] -= 1
            self._untold.add(user)
            if not self._mine[user]:
                del self._mine[user]

    async def keep(self) -> NoReturn:
        """Renew the presence of this node and report changed counts, until cancelled."""
        while True:
            await self.link.wait_up()
            with suppress(RedisUnavailable):  # the link logs it; unreported counts are reported when Redis is back
                await self._say()
            await trio.sleep(HERE_S)

    async def _say(self) -> None:
        key, believed_ms = _NODES + self.node, int(BELIEVED_S * 1000)
        before = await self.link.call(lambda redis: redis.set(key, b"1", px=believed_ms, get=True))
        if before is None:  # other nodes considered this one dead, or Redis lost its data
            self._untold.update(self._mine)
        while some := list(self._untold)[:TOGETHER]:
            self._untold.difference_update(some)
            try:
                await self.link.batch(partial(self._fill, some))
            except RedisUnavailable:
                self._untold.update(some)
                raise

    def _fill(self, users: Sequence[str], pipe: Pipeline[bytes]) -> None:
        for user in users:
            pipe.eval(_COUNT, [_key(user)], self._arguments(self._mine[user], 0))

    async def _may(self, user: str) -> bool:
        deadline = trio.current_time() + PATIENCE_S
        while True:
            try:
                found = await self.link.call(
                    lambda redis: redis.eval(_COUNT, [_key(user)], self._arguments(self._mine[user], self.cap)),
                    timeout_s=ANSWER_S,
                )
            except RedisUnavailable:
                self._untold.add(user)
                return True
            if found == 1:
                return True
            if self._mine[user] > self.cap or trio.current_time() >= deadline:
                return False
            await trio.sleep(AGAIN_S)

    def _arguments(self, mine: int, cap: int) -> tuple[str | int, ...]:
        return (self.node, mine, cap, _NODES, KEPT_S * 1000)


class ConnectionCountsSync(Actor):
    """Synchronises connection counts in the background."""

    def __init__(self, connections: ConnectionCounts) -> None:
        self.connections = connections

    async def on_start(self, context: Context) -> None:
        """Start synchronising; the server does not wait for Redis."""
        context.start_soon(self.connections.keep, name="keep")


def _key(user: str) -> str:
    """Return the key of a user. User names are hashed because keys are visible to operators of Redis."""
    name = hashlib.blake2b(user.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return f"understudy:connections:{name}"
