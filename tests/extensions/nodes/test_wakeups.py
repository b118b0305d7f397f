"""What carries wakeups between nodes: the same promises of PostgreSQL's NOTIFY and of Redis pub/sub."""

import contextlib
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from actors import ActorSystem
from tests.extensions.nodes.carriers import ONE, TWO, ByRedis, Carrier, Ear, listening, until
from tests.extensions.nodes.carriers import carrier as carrier
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from understudy.extensions.nodes import notify, redis_wakeups
from understudy.extensions.nodes.notify import NotifyWakeups
from understudy.extensions.nodes.redis import RedisLink
from understudy.extensions.nodes.redis_wakeups import RedisWakeups
from understudy.extensions.nodes.wakeups import NEWS
from understudy.storage.errors import WakeupsUnavailable
from understudy.storage.postgresql import alone


async def test_messages_reach_all_who_listen_to_their_channel_in_order(carrier: Carrier) -> None:
    async with listening(carrier, ONE, NEWS) as first, listening(carrier, TWO, NEWS) as two:
        for number in range(50):
            await carrier.wakeups.publish([(ONE, f"{number}"), (TWO, f"{number}"), (NEWS, f"{number}")])
        for ear, of_ear in ((first, ONE), (two, TWO)):
            messages = await ear.has(100)
            for channel in (of_ear, NEWS):
                assert [text for to, text in messages if to == channel] == [f"{number}" for number in range(50)]
            assert len(messages) == 100


async def test_long_empty_and_odd_texts_arrive_as_they_are(carrier: Carrier) -> None:
    texts = ["x" * carrier.wakeups.largest, "", "'; DROP TABLE inbox", "*1\r\n$1\r\na\r\n", "ü€😀 \n\t %s", '[{"a":1}]']
    async with listening(carrier, ONE) as ear:
        await carrier.wakeups.publish([(ONE, text) for text in texts])
        assert await ear.has(len(texts)) == [(ONE, text) for text in texts]


async def test_nothing_is_stored(carrier: Carrier) -> None:
    before = carrier.stored()
    async with listening(carrier, ONE) as ear:
        await carrier.wakeups.publish([(ONE, "here"), (TWO, "nobody")])
        await ear.has(1)
        assert carrier.stored() == before
    async with listening(carrier, TWO) as late:
        await carrier.wakeups.publish([(TWO, "later")])
        assert await late.has(1) == [(TWO, "later")]


async def test_a_server_that_goes_away_ends_in_a_sentence_and_comes_back(carrier: Carrier) -> None:
    async with listening(carrier, ONE) as ear:
        await carrier.stop()
        await until(lambda: ear.lost)
        with pytest.raises(WakeupsUnavailable):
            await carrier.wakeups.publish([(ONE, "lost")])
        await carrier.start()
    again = Ear(carrier.wakeups)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(60):
            while not again.begun.is_set():
                again.lost = ""
                nursery.start_soon(again.listen, ONE)
                await until(lambda: again.begun.is_set() or again.lost)
            while not again.heard:
                with contextlib.suppress(WakeupsUnavailable):
                    await carrier.wakeups.publish([(ONE, "back")])
                await trio.sleep(0.05)
        assert set(again.heard) == {(ONE, "back")}
        nursery.cancel_scope.cancel()


async def test_a_listener_that_does_not_read_is_cut_off_and_others_go_on(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "FULL", 1e-5)
    there = await carrier.listen_slowly()
    assert there()
    text = "x" * 7_000
    with trio.fail_after(60):
        while there():
            await carrier.wakeups.publish([(ONE, text)] * 100)
            await carrier.wakeups.cut_off()
    async with listening(carrier, ONE) as ear:
        await carrier.wakeups.publish([(ONE, "on")])
        assert (ONE, "on") in await ear.has(1)


async def test_a_listener_behind_a_pooler_hears_nothing_and_one_with_a_direct_address_does(
    postgres: Postgres, pgbouncer: PgBouncer, template: str
) -> None:
    direct = postgres.create(template)
    pooled, straight = NotifyWakeups(alone(pgbouncer.address(direct))), NotifyWakeups(alone(direct))
    deaf, ear = Ear(pooled), Ear(straight)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deaf.listen, ONE)
        nursery.start_soon(ear.listen, ONE)
        with trio.fail_after(60):
            await deaf.begun.wait()
            await ear.begun.wait()
        for sender in (pooled, straight):
            await sender.publish([(ONE, "heard")])
        assert await ear.has(2) == [(ONE, "heard")] * 2
        assert not deaf.heard
        nursery.cancel_scope.cancel()
    pooled.close()
    straight.close()


ODD = st.sampled_from([b"*3\r\n", b"$-1\r\n", b"-ERR no\r\n", b"*9999999\r\n", b"*1\r\n" * 3_000])


@given(st.lists(st.binary(max_size=40) | ODD))
async def test_what_is_no_reply_of_redis_ends_in_a_sentence(chunks: list[bytes]) -> None:
    async def serve(line: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await line.receive_some(1000)
            for chunk in chunks:
                await line.send_all(chunk)
            await line.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        port = listener.socket.getsockname()[1]
        ear = Ear(RedisWakeups(RedisLink(f"redis://127.0.0.1:{port}")))
        with trio.fail_after(30):
            await ear.listen(ONE)
        assert ear.lost
        nursery.cancel_scope.cancel()


async def test_servers_with_another_database_of_a_redis_hear_nothing(own_redis: Redis) -> None:
    left, right = (RedisLink(f"{own_redis.url}/{number}") for number in (1, 2))
    near, far = (ByRedis(own_redis, RedisWakeups(link)) for link in (left, right))
    async with ActorSystem("system", [left.connector_spec()]), listening(near, ONE) as ear, listening(far, ONE) as deaf:
        await left.wait_up()
        await near.wakeups.publish([(ONE, "heard")])
        assert (await ear.has(1), deaf.heard) == ([(ONE, "heard")], [])


async def test_a_listener_that_never_catches_up_says_so(own_redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_wakeups, "BEHIND", 100_000)
    by_redis = ByRedis(own_redis, RedisWakeups(RedisLink(own_redis.url)))
    async with ActorSystem("system", [by_redis.wakeups.link.connector_spec()]), listening(by_redis, ONE) as ear:
        await by_redis.wakeups.link.wait_up()
        with trio.fail_after(60):
            while not ear.lost:
                await by_redis.wakeups.publish([(ONE, "x" * by_redis.wakeups.largest)] * 50)
    assert ear.lost == "this node is behind"


async def test_a_redis_that_refuses_the_channel_says_so(own_redis: Redis) -> None:
    rights = ("on", ">sesame", "allkeys", "resetchannels", "+@all")
    assert own_redis.command("ACL", "SETUSER", "ann", *rights) == "+OK"
    link: Any = RedisLink(own_redis.url.replace("//", "//ann:sesame@"))
    ear = Ear(RedisWakeups(link))
    with trio.fail_after(60):
        await ear.listen(ONE)
    assert ear.lost == "it answers AuthorizationError"
