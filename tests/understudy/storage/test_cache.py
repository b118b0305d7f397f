"""Reads that go on while the database is away: in this process, and through a Redis that nodes share."""

import contextlib
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from attrs import evolve

from actors import ActorSystem, ChildSpec
from tests.rigs.database import opened
from tests.servers.redis import Redis
from understudy.extensions.memory.storage import CHANGES, Remembered, forget_all, question_of, remember, remembered
from understudy.extensions.nodes import offline, redis_cache
from understudy.extensions.nodes.background import Background
from understudy.extensions.nodes.redis import RedisLink
from understudy.extensions.nodes.redis_cache import RedisCache, cipher
from understudy.storage import cache as caching
from understudy.storage.cache import CacheBackend, CachedRead, CachedReads, LocalCache
from understudy.storage.deletion import remove_user
from understudy.storage.errors import RedisUnavailable, StorageUnavailable
from understudy.storage.store import Store
from understudy.storage.thread_writes import give_feedback, rename_thread

SECRET = "the secret of all nodes, of 32 bytes or more"


class Tally:
    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def cache_read(self, outcome: str) -> None:
        self.outcomes.append(outcome)


class Away:
    """Reads of a store, which a test takes away; writes go on, as if another connection had them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.is_away = False
        self.before: trio.Event | None = None

    def __getattr__(self, name: str) -> object:
        attribute = getattr(self.store, name)
        if name not in {"thread", "threads", "thread_page", "turns_page", "event_page", "read"}:
            return attribute

        async def read(*args: object) -> object:
            if self.is_away:
                raise StorageUnavailable("away")
            answer = await attribute(*args)
            if self.before is not None:
                await self.before.wait()
            return answer

        return read


@pytest.fixture
async def reads(shelf, database, on_sqlite, make) -> AsyncIterator[CachedReads]:
    """Reads of a store with one thread of ann's and one of bob's, with a clock that stands still."""
    async with opened(database) as store, shelved(shelf) as kept:
        reads = CachedReads(Away(store), kept, lambda: 1000.0, Tally())
        reads.changed_by |= dict.fromkeys(CHANGES, question_of)
        store.on_write = reads.invalidate
        await store.commit(make.opening())
        await store.commit(make.opening("bob", "t2", "r2"))
        yield reads


@contextlib.asynccontextmanager
async def shelved(shelf: str | Redis) -> AsyncIterator[CacheBackend]:
    """A shelf of this kind; one in Redis with all that works for it."""
    if not isinstance(shelf, Redis):
        yield LocalCache()
        return
    shelf.flush()
    async with linked(shelf) as kept:
        yield kept


@contextlib.asynccontextmanager
async def linked(redis: Redis) -> AsyncIterator[RedisCache]:
    """A node's shelf in Redis, for a minute at most."""
    link = RedisLink(redis.url)
    kept = RedisCache(link, cipher(SECRET))
    children = [link.connector_spec(), ChildSpec("shelver", partial(Background, kept.keep))]
    with trio.fail_after(60):
        async with ActorSystem("node", children):
            await link.wait_up()
            yield kept


@pytest.fixture(params=["local", "redis"])
def shelf(request) -> str | Redis:
    return request.getfixturevalue("redis") if request.param == "redis" else "local"


async def settled(reads: CachedReads) -> None:
    """Wait until queued answers are in the cache."""
    if isinstance(reads.backend, RedisCache):
        await put(reads.backend)


async def put(shelf: RedisCache) -> None:
    """Wait until queued answers are in Redis."""
    while shelf.waiting:  # noqa: ASYNC110 - the shelf tells nobody
        await trio.sleep(0.005)


async def remembered_by(reads: CachedReads) -> CachedRead[list[Remembered]]:
    """What an extension reads: the guide's memory about ann."""
    read = partial(reads.store.read, remembered, "ann", "guide", 150.0)
    return await reads.read("ann", ("remembered", "guide"), list[Remembered], read)


async def unavailable(read: Awaitable[object]) -> bool:
    try:
        await read
    except StorageUnavailable:
        return True
    return False


async def test_reading_goes_on_while_the_database_is_away(reads, make) -> None:
    reads.store.store.on_write = None  # a shelf takes nothing at the moment of a drop
    await reads.store.commit(remember("ann", "guide", "plan", {"a": [1]}, 100.0, 2000.0))

    async def all_of_ann() -> list[Any]:
        return [
            await reads.thread("ann", "t1"), await reads.threads("ann", "", None, 50),
            await reads.messages("ann", "t1", None, 100), await reads.events("ann", "t1", 0, 500),
            await remembered_by(reads), await reads.thread("ann", "none"),
        ]  # fmt: skip

    fresh = await all_of_ann()
    assert not any(answer.stale for answer in fresh)
    assert fresh[2].value.runs == (make.run(message_id="m-t1"),)
    await settled(reads)
    reads.store.is_away, reads.clock = True, lambda: 1007.0
    again = await all_of_ann()
    assert again == [evolve(answer, age_s=7.0) for answer in fresh]
    assert all(answer.stale for answer in again)
    assert reads.metrics.outcomes == ["database"] * 6 + ["stale"] * 6


async def test_an_answer_that_was_never_read_is_not_cached(reads) -> None:
    await reads.threads("ann", "", None, 50)
    await reads.threads("ann", "hello", None, 50)
    await settled(reads)
    reads.store.is_away = True
    for question in (("bob", "", None, 50), ("ann", "", None, 51), ("ann", "", "x", 50), ("ann", "hello", None, 50)):
        assert await unavailable(reads.threads(*question))
    assert await unavailable(reads.thread("ann", "t1"))


async def test_the_database_is_asked_first(reads, make) -> None:
    await reads.threads("ann", "", None, 50)
    await settled(reads)
    reads.store.store.on_write = None
    await reads.store.commit(rename_thread("ann", "t1", "Renamed"))
    read = await reads.threads("ann", "", None, 50)
    assert (read.stale, read.value.items[0].title) == (False, "Renamed")


@pytest.mark.parametrize("change", ["delete", "rename", "trim", "feedback", "forget", "remove"])
async def test_changed_threads_are_gone_from_the_cache(reads, change) -> None:
    await reads.messages("ann", "t1", None, 100)
    await reads.messages("bob", "t2", None, 100)
    await settled(reads)
    match change:
        case "delete":
            assert await reads.store.delete_thread("ann", "t1")
        case "rename":
            assert await reads.store.commit(rename_thread("ann", "t1", "Renamed"))
        case "trim":
            await reads.store.trim("ann", "t1", 2)
        case "remove":
            await remove_user(reads.store, "ann")
        case "feedback":
            await reads.store.commit(give_feedback("ann", "m9", "up", None))
        case "forget":
            await reads.store.commit(forget_all("ann"))
    reads.store.is_away = True
    assert await unavailable(reads.messages("ann", "t1", None, 100))
    assert (await reads.messages("bob", "t2", None, 100)).stale


async def test_remembering_drops_what_was_remembered_and_no_more(reads) -> None:
    await reads.messages("ann", "t1", None, 100)
    await remembered_by(reads)
    await settled(reads)
    await reads.store.commit(remember("ann", "guide", "plan", "A", 100.0, 2000.0))
    reads.store.is_away = True
    assert (await reads.messages("ann", "t1", None, 100)).stale
    assert await unavailable(remembered_by(reads))


async def test_a_read_during_a_change_is_not_kept(reads) -> None:
    """A read that saw the thread before it was deleted, and ends after that, must not bring it back."""
    reads.store.before = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reads.thread, "ann", "t1")
        await trio.testing.wait_all_tasks_blocked(0.05)
        await reads.store.delete_thread("ann", "t1")
        reads.store.before.set()
    await settled(reads)
    reads.store.is_away = True
    assert await unavailable(reads.thread("ann", "t1"))


async def test_an_answer_is_kept_for_its_time_only(reads, monkeypatch) -> None:
    await reads.thread("ann", "t1")
    await settled(reads)
    reads.store.is_away, reads.clock = True, lambda: 1000.0 + caching.TTL_S + 1
    assert await unavailable(reads.thread("ann", "t1"))


async def test_large_answers_and_many_are_not_kept(reads, make, monkeypatch) -> None:
    monkeypatch.setattr(caching, "VALUE_BYTES", 200)
    await reads.threads("ann", "", None, 50)
    await reads.thread("ann", "none")
    for limit in range(1, caching.PER_OWNER + 1):
        await reads.events("ann", "none", 0, limit)
        await settled(reads)  # answers beyond so many that wait for Redis are not cached
    reads.store.is_away = True
    assert await unavailable(reads.threads("ann", "", None, 50))
    assert await unavailable(reads.thread("ann", "none"))
    assert (await reads.events("ann", "none", 0, caching.PER_OWNER)).stale


async def test_an_entry_of_another_owner_is_not_given_whatever_the_shelf_says(reads) -> None:
    class Confused(LocalCache):
        async def get(self, owner: str, question: str) -> bytes | None:
            return await super().get("ann", question)

    reads.backend = Confused()
    await reads.thread("ann", "t1")
    reads.store.is_away = True
    assert (await reads.thread("ann", "t1")).stale
    assert await unavailable(reads.thread("bob", "t1"))


async def test_an_entry_that_cannot_be_decoded_is_none(reads) -> None:
    await reads.thread("ann", "t1")
    reads.store.is_away = True
    reads.backend = LocalCache()
    reads.backend.put("ann", repr(("thread", "t1")), b"\x93 nonsense", trio.current_time())
    assert await unavailable(reads.thread("ann", "t1"))


async def test_a_local_shelf_has_bounds(autojump_clock) -> None:
    shelf = LocalCache(room_bytes=10, room_entries=3)
    for number in range(4):
        shelf.put(f"u{number}", "q", b"xx", trio.current_time())
    assert [await shelf.get(f"u{number}", "q") for number in range(4)] == [None, b"xx", b"xx", b"xx"]
    shelf.put("u9", "q", b"x" * 9, trio.current_time())
    assert (len(shelf), shelf.held_bytes) == (1, 9)
    shelf.put("u9", "q", b"x", trio.current_time())
    assert (len(shelf), shelf.held_bytes) == (1, 1)
    await shelf.drop("u9")
    assert (len(shelf), shelf.held_bytes) == (0, 0)


async def test_nodes_share_what_they_have_read(redis) -> None:
    redis.flush()
    async with linked(redis) as first, linked(redis) as second:
        first.put("ann", "q", b"answer", trio.current_time())
        await put(first)
        assert await second.get("ann", "q") == b"answer"
        assert await second.get("bob", "q") is None
        for others, answer in (((), None), ((SECRET,), b"answer")):  # as while their secret is replaced
            assert await RedisCache(first.link, cipher("the next", *others)).get("ann", "q") == answer
        await second.drop("ann")
        assert await first.get("ann", "q") is None


async def test_a_command_beside_the_servers_drops_too(redis, database) -> None:
    redis.flush()
    async with linked(redis) as server, opened(database) as store, ActorSystem("command") as system:
        server.put("ann", "q", b"answer", trio.current_time())
        await put(server)
        await offline.attach(redis.url, system, store, pytest.fail)
        await remove_user(store, "ann")
        assert await server.get("ann", "q") is None


async def test_names_and_texts_of_users_are_not_in_redis(redis) -> None:
    redis.flush()
    async with linked(redis) as shelf:
        shelf.put("ann@example.org", "('thread', 'my divorce')", b"her words", trio.current_time())
        await put(shelf)
        keys = await shelf.link.call(lambda client: client.keys("*"))
        (kept,) = [key for key in keys if key.endswith(b":answers")]
        fields = await shelf.link.call(lambda client: client.hgetall(kept))
        assert await shelf.link.call(lambda client: client.pttl(kept)) > 0
    shown = [*keys, *fields, *fields.values()]
    assert not any(word in written for written in shown for word in (b"ann", b"divorce", b"words"))


async def test_entries_of_somebody_else_are_not_believed(reads, redis, caplog) -> None:
    threads = (("ann", "t1"), ("ann", "none"), ("bob", "t2"))
    async with linked(redis) as shelf:
        reads.backend = shelf
        assert [(await reads.thread(*names)).stale for names in threads] == [False] * 3
        await put(shelf)
        reads.store.is_away = True
        places = [(f"{redis_cache._key(owner)}:answers", redis_cache._hash(repr(("thread", thread))))
                  for owner, thread in threads]  # fmt: skip
        call = shelf.link.call
        moved = [await call(lambda client, place=place: client.hget(*place)) for place in places[1:]]
        for forged in (b"forged", b"", cipher("another").encrypt(b""), *moved):
            await call(lambda client, forged=forged: client.hset(places[0][0], {places[0][1]: forged}))
            assert await unavailable(reads.thread("ann", "t1"))
    assert caplog.messages.count("cache.not_authentic") == 3


async def test_a_drop_that_redis_missed_is_made_up_for(own_redis, monkeypatch) -> None:
    monkeypatch.setattr("understudy.extensions.nodes.redis_cache.SLACK_S", 0.0)
    async with linked(own_redis) as first, linked(own_redis) as second:
        first.put("ann", "q", b"answer", trio.current_time())
        first.put("bob", "q", b"another", trio.current_time())
        await put(first)
        own_redis.pause()
        while first.link.up:  # noqa: ASYNC110
            await trio.sleep(0.01)
        began = trio.current_time()
        await first.drop("ann", "other")
        assert await first.get("bob", "q") is None, "a Redis that is away has nothing, and raises nothing"
        own_redis.resume()
        await first.link.wait_up()
        await second.link.wait_up()
        second.put("ann", "late", b"read before the drop", began)
        while await second.get("ann", "q") is not None:
            assert await first.get("ann", "q") is None
            await trio.sleep(0.005)
        await put(first)
        await put(second)
        assert await second.get("ann", "late") is None
        assert await first.get("bob", "q") == b"another"
        first.put("ann", "q", b"new", trio.current_time())
        await put(first)
        assert await second.get("ann", "q") == b"new"
    with pytest.raises(RedisUnavailable):
        await first.link.call(lambda client: client.ping())


async def test_a_drop_that_fails_while_an_earlier_one_is_made_up_for_is_made_up_for_too(autojump_clock) -> None:
    gate, ends = trio.Event(), [False, True, False, True]

    async def call(_: object) -> None:
        if not ends.pop(0):
            raise RedisUnavailable("away")
        if len(ends) == 2:
            await gate.wait()

    kept = RedisCache(SimpleNamespace(up=True, call=call, wait_up=trio.lowlevel.checkpoint), cipher(SECRET))
    await kept.drop("ann")
    assert await kept.get("ann", "q") is None, "without a call"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.keep)
        await trio.testing.wait_all_tasks_blocked()
        await kept.drop("ann")
        gate.set()
        await trio.sleep(1.0)
        nursery.cancel_scope.cancel()
    assert (ends, kept.waiting) == ([], {})
