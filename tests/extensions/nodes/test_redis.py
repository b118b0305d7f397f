"""The link to Redis, against a real one: that it answers, goes away in every manner, and comes back."""

import logging
from pathlib import Path

import pytest
import trio

from tests.extensions.nodes.redis_link import SOON_S, Counts, linked
from tests.rigs.server_pair import eventually
from tests.servers.redis import Redis
from understudy.extensions.nodes.redis import RedisLink
from understudy.storage.errors import RedisUnavailable


async def until(link: RedisLink, up: bool) -> None:
    await eventually(lambda: link.up is up)


async def test_calls_are_answered(redis: Redis) -> None:
    counts = Counts()
    async with linked(redis.url + "/3", counts) as link:
        await link.wait_up()
        await link.call(lambda client: client.set("a", "1"))
        assert await link.call(lambda client: client.get("a")) == b"1"
    assert counts.up == [True]
    assert counts.outcomes == ["answered"] * 2


async def test_a_refusal_does_not_speak_against_redis(redis: Redis) -> None:
    async with linked(redis.url) as link:
        await link.wait_up()
        await link.call(lambda client: client.set("text", "1"))
        for _ in range(5):
            with pytest.raises(RedisUnavailable, match="WrongTypeError"):
                await link.call(lambda client: client.lpush("text", ["x"]))
        assert link.up


async def test_it_is_away_at_once_when_killed_and_comes_back(
    own_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    counts = Counts()
    with caplog.at_level(logging.INFO):
        async with linked(own_redis.url, counts) as link:
            await link.wait_up()
            await trio.to_thread.run_sync(own_redis.kill)
            await until(link, up=False)
            for _ in range(50):
                with pytest.raises(RedisUnavailable):
                    await link.call(lambda client: client.get("a"))
            await trio.to_thread.run_sync(own_redis.start)
            await until(link, up=True)
            assert await link.call(lambda client: client.get("a")) is None
            events = [record.message for record in caplog.records if record.name == "understudy.extensions.nodes.redis"]
    assert events == ["redis.answers", "redis.away", "redis.answers"]
    assert not [record for record in caplog.records if record.name.startswith("coredis")]
    assert counts.up == [True, False, True]
    assert counts.outcomes.count("away") == 50


async def test_a_held_redis_is_waited_for_as_long_as_the_call_may_take(own_redis: Redis) -> None:
    async with linked(own_redis.url) as link:
        await link.wait_up()
        own_redis.pause()
        with pytest.raises(RedisUnavailable, match=r"no answer within 0\.2 s"):
            await link.call(lambda client: client.get("a"), timeout_s=0.2)
        await until(link, up=False)
        own_redis.resume()
        await until(link, up=True)
        await link.call(lambda client: client.set("a", "1"))


async def test_it_starts_without_a_server_and_finds_it_later(
    own_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.kill()
    async with linked(own_redis.url) as link:
        with pytest.raises(RedisUnavailable):
            await link.call(lambda client: client.ping())
        await eventually(lambda: caplog.messages.count("redis.away"))
        await trio.to_thread.run_sync(own_redis.start)
        await until(link, up=True)
    assert caplog.messages.count("redis.away") == 1


async def test_a_password_is_used_and_never_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Redis(tmp_path / "redis", password="hush-hush")
    server.start()
    try:
        with caplog.at_level(logging.DEBUG):
            async with linked(server.url) as link:
                await until(link, up=True)
                await link.call(lambda client: client.ping())
            wrong = server.url.replace("hush-hush", "sesame-open")
            async with linked(wrong) as link:
                await eventually(lambda: link.last_error != "not connected yet")
                with pytest.raises(RedisUnavailable) as refused:
                    await link.call(lambda client: client.ping())
        text = caplog.text + str(refused.value) + repr(refused.value) + repr(vars(link))
        assert "hush-hush" not in text
        assert "sesame-open" not in text
    finally:
        server.kill()


async def test_many_given_up_calls_leave_the_link_whole(redis: Redis) -> None:
    async with linked(redis.url) as link:
        await link.wait_up()
        for number in range(200):
            with trio.move_on_after(number * 2e-6):
                await link.call(lambda client: client.get("a"))
        with trio.fail_after(2 * SOON_S):
            for number in range(100):
                text = f"{number}"
                assert await link.call(lambda client, text=text: client.echo(text)) == text.encode()
