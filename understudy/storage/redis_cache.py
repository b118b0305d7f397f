"""The shelf that nodes share: what any of them has read, in Redis, each owner's under a hash of their name.

1. A read waits for Redis only when the database did not answer; what is put there goes in the background, and is left
   out where that cannot keep up.
2. A drop is done before its asker goes on. One that Redis could not be told of is done as soon as it answers again, and
   until then this node gives nothing of that owner's.
3. Answers are encrypted and bound to their question, so that nobody but a node can read one, or have a node believe
   another. One that is put back by somebody else is given for no longer than its time to live.
4. Redis may forget any of it at any time: it has a time to live, and is the first that a full Redis with
   `maxmemory-policy volatile-lru` gives up.
"""

import hashlib
import logging
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NoReturn

import trio
from attrs import define, field

from actors import Actor, ActorSystem, Context

from .cache import PER_OWNER, RACE_S, TTL_S
from .errors import RedisUnavailable
from .redis import RedisLink
from .redis_cipher import Cipher, NotAuthentic

if TYPE_CHECKING:
    import coredis
    from coredis.patterns.pipeline import Pipeline

log = logging.getLogger(__name__)

PREFIX: Final = "understudy:cache:"
WAITING: Final = 256
"""Answers that wait to be put there; of one more, nobody hears."""
WAITING_BYTES: Final = 8 * 1024 * 1024
TOGETHER: Final = 32
UNTOLD: Final = 10_000
"""Owners whose drops Redis is still to be told of; beyond, it is told to drop everybody's."""
WAIT_S: Final = 2.0
AGAIN_S: Final = 0.05
DROP_S: Final = 5.0
SLACK_S: Final = 1.0
"""How long a put may be on its way: a drop of that moment counts for it."""

# KEYS: the owner's answers, when they were dropped. ARGV: the question, the answer, the age of the read in ms, how many
# one owner may have, how long they live in ms.
_PUT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local dropped = redis.call('GET', KEYS[2])
if dropped and now - tonumber(ARGV[3]) <= tonumber(dropped) then return 0 end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then redis.call('UNLINK', KEYS[1]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
"""
# KEYS as above. ARGV: the question, or empty for all; how long a drop is remembered, in ms.
_DROP: Final = """
local time = redis.call('TIME')
redis.call('SET', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000), 'PX', ARGV[2])
if ARGV[1] == '' then redis.call('UNLINK', KEYS[1]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
"""


@define(eq=False)
class RedisCache:
    """A `Shelf` in Redis; the actor `Shelver` puts there what waits."""

    link: RedisLink
    cipher: Cipher = field(repr=False)
    _waiting: OrderedDict[tuple[str, str], tuple[bytes, float]] = field(factory=OrderedDict, init=False, repr=False)
    _bytes: int = field(default=0, init=False)
    _going: int = field(default=0, init=False)
    _untold: set[str] = field(factory=set, init=False, repr=False)
    _everybody: bool = field(default=False, init=False)
    _news: trio.Event = field(factory=trio.Event, init=False, repr=False)

    @property
    def waiting(self) -> int:
        """How many answers are not there yet."""
        return len(self._waiting) + self._going

    async def get(self, owner: str, question: str) -> bytes | None:
        """As `Shelf.get`. While Redis is away nothing: another node may have dropped what waits here."""
        if not self.link.up:
            return None
        if (waiting := self._waiting.get((owner, question))) is not None:
            return waiting[0]
        if self._everybody or owner in self._untold:
            return None
        try:
            kept = await self.link.call(lambda redis: redis.hget(_keys(owner)[0], _field(question)))
        except RedisUnavailable:
            return None
        try:
            return None if kept is None else self.cipher.decrypt(kept, _place(owner, question))
        except NotAuthentic:
            log.warning("cache.not_authentic")
            return None

    def put(self, owner: str, question: str, value: bytes, began: float) -> None:
        """As `Shelf.put`."""
        if not self.link.up or len(self._waiting) >= WAITING or self._bytes + len(value) > WAITING_BYTES:
            return
        self._take((owner, question))
        self._waiting[owner, question] = value, began
        self._bytes += len(value)
        self._news.set()

    async def drop(self, owner: str, question: str | None = None) -> None:
        """As `Shelf.drop`."""
        for key in [key for key in self._waiting if key[0] == owner]:
            self._take(key)
        try:
            await self._tell(owner, question)
        except RedisUnavailable:
            self._untold.add(owner)
            if len(self._untold) > UNTOLD:
                self._untold.clear()
                self._everybody = True
            self._news.set()

    async def keep(self) -> NoReturn:
        """Put there what waits, and tell of drops that Redis has not heard of."""
        while True:
            self._news = trio.Event()
            if not (self._waiting or self._untold or self._everybody):
                await self._news.wait()
            await self.link.wait_up()
            try:
                await self._catch_up()
                await self._put_some()
            except RedisUnavailable:
                await trio.sleep(AGAIN_S)

    async def _catch_up(self) -> None:
        while self._everybody:
            self._everybody = await self.link.call(_drop_some, timeout_s=DROP_S)
        for owner in list(self._untold):
            await self._tell(owner, None)

    async def _put_some(self) -> None:
        taken = [(key, self._take(key)) for key in list(self._waiting)[:TOGETHER]]
        now, ttl_ms = trio.current_time(), int(TTL_S * 1000)

        def fill(pipe: "Pipeline[bytes]") -> None:
            for (owner, question), (value, began) in taken:
                age_ms = int((now - began + SLACK_S) * 1000)
                sealed = self.cipher.encrypt(value, _place(owner, question))
                pipe.eval(_PUT, _keys(owner), (_field(question), sealed, age_ms, PER_OWNER, ttl_ms))

        self._going = len(taken)
        try:
            if taken:
                await self.link.batch(fill)
        finally:
            self._going = 0

    async def _tell(self, owner: str, question: str | None) -> None:
        what, remembered_ms = "" if question is None else _field(question), int(RACE_S * 1000)
        await self.link.call(lambda redis: redis.eval(_DROP, _keys(owner), (what, remembered_ms)))
        self._untold.discard(owner)

    def _take(self, key: tuple[str, str]) -> tuple[bytes, float]:
        value, began = self._waiting.pop(key, (b"", 0.0))
        self._bytes -= len(value)
        return value, began


class CacheWriter(Actor):
    """Does a shelf's work in the background."""

    def __init__(self, shelf: RedisCache) -> None:
        self.shelf = shelf

    async def on_start(self, context: Context) -> None:
        """Begin; the house need not wait for Redis."""
        context.start_soon(self.shelf.keep, name="keep")


async def _drop_some(redis: "coredis.Redis[bytes]") -> bool:
    """Remove some of everybody's answers; whether there may be more."""
    _, keys = await redis.scan(0, match=f"{PREFIX}*:answers", count=10_000)
    if keys:
        await redis.unlink(keys)
    return bool(keys)


def _keys(owner: str) -> list[str]:
    """Names of users are their own, and keys are shown to operators: they have a hash of them."""
    name = hashlib.blake2b(owner.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return [f"{PREFIX}{name}:answers", f"{PREFIX}{name}:dropped"]


def _field(question: str) -> str:
    """Questions hold names that the user chose."""
    return hashlib.blake2b(question.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _place(owner: str, question: str) -> str:
    """What an answer is bound to."""
    return f"{_keys(owner)[0]}/{_field(question)}"


async def open_redis_cache(system: ActorSystem, url: str) -> RedisCache:
    """The shelf of the servers, for a command that changes what they have stored while none of them runs.

    Without an answer of Redis within `WAIT_S` what is on it stays there until its time is over; the log says so.
    """
    link = RedisLink(url)
    await system.spawn(link.connector_spec())
    with trio.move_on_after(WAIT_S) as waiting:
        await link.wait_up()
    if waiting.cancelled_caught:
        log.warning("cache.not_reached", extra={"server": link.where, "ttl_s": TTL_S})
    return RedisCache(link, Cipher(secrets.token_hex()))  # it only drops, so it needs no key that the servers have
