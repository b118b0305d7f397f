"""The cache of answers (results of reads of the database) that nodes share in Redis, under a hash of their owner.

1. A read waits for Redis only if the database did not answer. Answers are put in the background, and skipped if Redis
   cannot keep up.
2. A drop is done before its caller resumes. If Redis is away, it is done as soon as Redis is back, and until then this
   node serves none of that owner's answers.
3. Answers are encrypted with a key that is derived from the server's secret. An answer contains its question, so an
   answer that was moved to another key is not served (`CachedReads`); an old answer that was put back is served for no
   longer than its time to live.
4. Redis may evict any answer: the keys have a time to live, so `maxmemory-policy volatile-lru` evicts them first.
"""

import base64
import hashlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

import trio
from attrs import define, field
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from understudy.extensions.nodes.redis import RedisLink
from understudy.storage.cache import PER_OWNER, RACE_S, TTL_S
from understudy.storage.errors import RedisUnavailable

if TYPE_CHECKING:
    import coredis

log = logging.getLogger(__name__)

WAITING: Final = 32
"""Limit of answers that wait for Redis, of 256 KiB each at most; more are not cached."""
AGAIN_S: Final = 0.05
"""Pause in seconds after a failed call before the drops are sent again."""
SLACK_S: Final = 1.0
"""Allowed delay of a put on its way to Redis: a drop within it also rejects the put."""
# KEYS: the hash of an owner's answers; the mark of the last drop, which expires. ARGV: the question; the answer; the
# remaining life in ms from which on a mark is newer than the read, so that the answer is rejected; the limit of answers
# (all are dropped when it is reached); their time to live in ms.
_PUT: Final = """
if redis.call('PTTL', KEYS[2]) >= tonumber(ARGV[3]) then return end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then redis.call('UNLINK', KEYS[1]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
"""
Changes: TypeAlias = dict[tuple[str, str | None], tuple[bytes | None, float]]
"""By (owner, question): the answer, None to drop it, and when its read or the drop began, on trio's clock.

Question None stands for all questions of the owner.
"""


@define(eq=False)
class RedisCache:
    """A `CacheBackend` in Redis. Its loop `keep` sends the waiting changes."""

    link: RedisLink
    cipher: MultiFernet = field(repr=False)
    waiting: Changes = field(factory=dict, init=False, repr=False)
    _news: trio.Event = field(factory=trio.Event, init=False, repr=False)

    async def get(self, owner: str, question: str) -> bytes | None:
        """As `CacheBackend.get`."""
        if not self.link.up or (owner, None) in self.waiting:
            return None
        try:
            sealed = await self.link.call(lambda redis: redis.hget(f"{_key(owner)}:answers", _hash(question)))
            return None if sealed is None else self.cipher.decrypt(sealed)
        except RedisUnavailable:
            return None
        except InvalidToken:
            log.warning("cache.not_authentic")
            return None

    def put(self, owner: str, question: str, value: bytes, began: float) -> None:
        """As `CacheBackend.put`."""
        if self.link.up and len(self.waiting) < WAITING:
            self.waiting[owner, question] = value, began
            self._news.set()

    async def drop(self, owner: str, question: str | None = None) -> None:
        """As `CacheBackend.drop`. Redis rejects the answers that wait here, as they were read before the drop."""
        change = None, trio.current_time()
        try:
            await self.link.call(partial(self._send, {(owner, question): change}))
        except RedisUnavailable:  # the queue is bounded by the number of users
            self.waiting[owner, None] = change
            self._news.set()

    async def keep(self) -> NoReturn:
        """Send the waiting changes to Redis, until cancelled."""
        while True:
            if not self.waiting:
                self._news = trio.Event()
                await self._news.wait()
            await self.link.wait_up()
            done = self.waiting.copy()
            try:
                await self.link.call(partial(self._send, done))
            except RedisUnavailable:
                done = {key: change for key, change in done.items() if key[1] is not None}  # retry only drops
                await trio.sleep(AGAIN_S)
            self.waiting = {key: change for key, change in self.waiting.items() if done.get(key) is not change}

    async def _send(self, changes: Changes, redis: "coredis.Redis[bytes]") -> None:
        async with redis.pipeline(transaction=False) as pipe:
            for (owner, question), (value, began) in changes.items():
                answers, mark = (f"{_key(owner)}:{part}" for part in ("answers", "dropped"))
                if value is not None:
                    mark_ms = int((RACE_S - SLACK_S - (trio.current_time() - began)) * 1000)
                    sealed = self.cipher.encrypt(value)
                    arguments = (_hash(question or ""), sealed, mark_ms, PER_OWNER, int(TTL_S * 1000))
                    pipe.eval(_PUT, (answers, mark), arguments)
                    continue
                pipe.set(mark, b"", px=int(RACE_S * 1000))
                if question is None:
                    pipe.unlink([answers])
                else:
                    pipe.hdel(answers, [_hash(question)])


def cipher(*secrets: str) -> MultiFernet:
    """Return a cipher that encrypts with the key of the first secret and decrypts with the keys of all.

    So nodes can replace their secret one after the other. Keys are derived with a label, as secrets also sign tokens.
    """
    derive = partial(HKDF, SHA256(), 32, None, b"understudy: cached answers")
    return MultiFernet([Fernet(base64.urlsafe_b64encode(derive().derive(secret.encode()))) for secret in secrets])


def _key(owner: str) -> str:
    return f"understudy:cache:{_hash(owner)}"


def _hash(name: str) -> str:
    """Return the hash of a user or a question: operators of Redis see keys, and questions hold users' text."""
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()
