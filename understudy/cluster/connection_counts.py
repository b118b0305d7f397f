"""How many connections each user has on all nodes, in Redis.

1. A node tells its own number of a user, not a change of it: told twice, it is the same.
2. A node that is dead does not count: it says that it is here every `HERE_S`, and is believed for `BELIEVED_S`. Who
   would be refused for connections on others is therefore asked about again until then: they may be those of a dead
   node, which their user is just making anew.
3. While Redis is away each node counts alone.
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
"""For how long somebody is asked for who would be refused."""
AGAIN_S: Final = 0.25
ANSWER_S: Final = 0.3
"""How long a connection waits for Redis: more than that, and it is counted here alone."""
TOGETHER: Final = 200
KEPT_S: Final = 24 * 3600
"""How long the numbers of a user stay there of whom nobody says anything any more."""

# KEYS: the user. ARGV: this node, its number, the cap (0: none), what the keys of nodes begin with, the time to live in
# ms. Gives 1, or 0 where the cap is passed, and nothing is changed then.
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
    """The connections of users, at most `cap` each on all nodes. `node` names this one."""

    link: RedisLink
    cap: int
    node: str = field(factory=lambda: uuid.uuid4().hex)
    _users: dict[str, str] = field(factory=dict, init=False, repr=False)
    _mine: Counter[str] = field(factory=Counter, init=False, repr=False)
    _untold: set[str] = field(factory=set, init=False, repr=False)

    async def enter(self, user: str, connection_id: str) -> bool:
        """Count a connection in; False when its user has as many as are allowed, and nothing is counted then.

        One that enters again, for another user, has left the first one.
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
        """Count a connection out; harmless for one that is not in. Redis is told soon."""
        user = self._users.pop(connection_id, None)
        if user is not None:
            self._mine[user] -= 1
            self._untold.add(user)
            if not self._mine[user]:
                del self._mine[user]

    async def keep(self) -> NoReturn:
        """Say that this node is here, and what it has not told yet, again and again."""
        while True:
            await self.link.wait_up()
            with suppress(RedisUnavailable):  # the link says so; what was not told is told when it is back
                await self._say()
            await trio.sleep(HERE_S)

    async def _say(self) -> None:
        key, believed_ms = _NODES + self.node, int(BELIEVED_S * 1000)
        before = await self.link.call(lambda redis: redis.set(key, b"1", px=believed_ms, get=True))
        if before is None:  # others have taken this node for dead meanwhile, or Redis has forgotten
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
    """Does it in the background."""

    def __init__(self, connections: ConnectionCounts) -> None:
        self.connections = connections

    async def on_start(self, context: Context) -> None:
        """Begin; the house need not wait for Redis."""
        context.start_soon(self.connections.keep, name="keep")


def _key(user: str) -> str:
    """Names of users are their own, and keys are shown to operators."""
    name = hashlib.blake2b(user.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return f"understudy:connections:{name}"
