"""The cache that nodes share, in Redis; keys hold a hash of the owner.

1. A read waits for Redis only if the database did not answer. Answers are put in the background, and skipped if Redis
   cannot keep up.
2. A drop is done before its caller resumes. If Redis is down, the drop is done as soon as Redis is back, and until then
   this node serves none of that owner's answers.
3. Answers are encrypted and bound to their question: only nodes can read them, and a forged or moved one is rejected.
   A replayed one is served for no longer than its time to live.
4. Redis may evict any of it: the keys have a time to live, so `maxmemory-policy volatile-lru` evicts them first.
"""

import hashlib
import logging
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NoReturn

import trio
from attrs import define, field

from actors import Actor, ActorSystem, Context
from understudy.extensions.nodes.redis import RedisLink
from understudy.extensions.nodes.redis_cipher import Cipher, NotAuthentic
from understudy.storage.cache import PER_OWNER, RACE_S, TTL_S
from understudy.storage.errors import RedisUnavailable

if TYPE_CHECKING:
    import coredis
    from coredis.patterns.pipeline import Pipeline

log = logging.getLogger(__name__)

PREFIX: Final = "understudy:cache:"
WAITING: Final = 256
"""Limit of answers queued for Redis; more are not cached."""
WAITING_BYTES: Final = 8 * 1024 * 1024
TOGETHER: Final = 32
UNCONFIRMED: Final = 10_000
"""Limit of owners with a drop that Redis has not confirmed; beyond it the answers of all owners are dropped."""
WAIT_S: Final = 2.0
AGAIN_S: Final = 0.05
DROP_S: Final = 5.0
SLACK_S: Final = 1.0
"""Allowed delay of a put on its way to Redis: a drop within it also rejects the put."""

# KEYS: the owner's answers, the time of their last drop. ARGV: the question, the answer, the age of the read in ms, the
# limit of answers per owner, their time to live in ms.
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
# KEYS: the owner's answers, the time of their last drop. ARGV: the question, or empty for all; how long to remember the
# drop, in ms.
_DROP: Final = """
local time = redis.call('TIME')
redis.call('SET', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000), 'PX', ARGV[2])
if ARGV[1] == '' then redis.call('UNLINK', KEYS[1]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
"""


@define(eq=False)
class RedisCache:
    """A `CacheBackend` in Redis; the actor `CacheWriter` sends the queued answers."""

    link: RedisLink
    cipher: Cipher = field(repr=False)
    _waiting: OrderedDict[tuple[str, str], tuple[bytes, float]] = field(factory=OrderedDict, init=False, repr=False)
    _bytes: int = field(default=0, init=False)
    _going: int = field(default=0, init=False)
    _unconfirmed: set[str] = field(factory=set, init=False, repr=False)
    _everybody: bool = field(default=False, init=False)
    _news: trio.Event = field(factory=trio.Event, init=False, repr=False)

    @property
    def waiting(self) -> int:
        """The number of queued answers."""
        return len(self._waiting) + self._going

    async def get(self, owner: str, question: str) -> bytes | None:
        """As `CacheBackend.get`. None while Redis is down: another node may have dropped the answers queued here."""
        if not self.link.up:
            return None
        if (waiting := self._waiting.get((owner, question))) is not None:
            return waiting[0]
        if self._everybody or owner in self._unconfirmed:
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
        """As `CacheBackend.put`."""
        if not self.link.up or len(self._waiting) >= WAITING or self._bytes + len(value) > WAITING_BYTES:
            return
        self._take((owner, question))
        self._waiting[owner, question] = value, began
        self._bytes += len(value)
        self._news.set()

    async def drop(self, owner: str, question: str | None = None) -> None:
        """As `CacheBackend.drop`."""
        for key in [key for key in self._waiting if key[0] == owner]:
            self._take(key)
        try:
            await self._tell(owner, question)
        except RedisUnavailable:
            self._unconfirmed.add(owner)
            if len(self._unconfirmed) > UNCONFIRMED:
                self._unconfirmed.clear()
                self._everybody = True
            self._news.set()

    async def keep(self) -> NoReturn:
        """Send queued answers and unconfirmed drops to Redis, until cancelled."""
        while True:
            self._news = trio.Event()
            if not (self._waiting or self._unconfirmed or self._everybody):
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
        for owner in list(self._unconfirmed):
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
        self._unconfirmed.discard(owner)

    def _take(self, key: tuple[str, str]) -> tuple[bytes, float]:
        value, began = self._waiting.pop(key, (b"", 0.0))
        self._bytes -= len(value)
        return value, began


class CacheWriter(Actor):
    """Sends a cache's queues to Redis in the background."""

    def __init__(self, shelf: RedisCache) -> None:
        self.shelf = shelf

    async def on_start(self, context: Context) -> None:
        """Start sending; the server does not wait for Redis."""
        context.start_soon(self.shelf.keep, name="keep")


async def _drop_some(redis: "coredis.Redis[bytes]") -> bool:
    """Delete some answers of all owners. Return whether there may be more."""
    _, keys = await redis.scan(0, match=f"{PREFIX}*:answers", count=10_000)
    if keys:
        await redis.unlink(keys)
    return bool(keys)


def _keys(owner: str) -> list[str]:
    """Return the keys of an owner. User names are hashed because keys are visible to operators of Redis."""
    name = hashlib.blake2b(owner.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return [f"{PREFIX}{name}:answers", f"{PREFIX}{name}:dropped"]


def _field(question: str) -> str:
    """Return the field of a question, hashed because questions hold names that the user chose."""
    return hashlib.blake2b(question.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _place(owner: str, question: str) -> str:
    """Return the context that an answer is bound to."""
    return f"{_keys(owner)[0]}/{_field(question)}"


async def open_redis_cache(system: ActorSystem, url: str) -> RedisCache:
    """Open the cache of the servers, for a command that changes stored data while no server runs.

    If Redis does not answer within `WAIT_S`, cached answers stay until they expire; this is logged.
    """
    link = RedisLink(url)
    await system.spawn(link.connector_spec())
    with trio.move_on_after(WAIT_S) as waiting:
        await link.wait_up()
    if waiting.cancelled_caught:
        log.warning("cache.not_reached", extra={"server": link.where, "ttl_s": TTL_S})
    return RedisCache(link, Cipher(secrets.token_hex()))  # it only drops, so it needs no key that the servers have
