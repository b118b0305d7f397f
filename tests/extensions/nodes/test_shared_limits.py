"""Limits that nodes share through a real Redis: rates, and numbers of connections."""

import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
import trio
from attrs import frozen

from actors import ActorSystem, ChildSpec
from tests.servers.redis import Redis
from transport.connection.limits import RateLimit
from understudy.extensions.nodes import shared_limits
from understudy.extensions.nodes.broker import TokensTaken
from understudy.extensions.nodes.redis import RedisLink
from understudy.extensions.nodes.redis_broker import RedisBroker
from understudy.extensions.nodes.shared_limits import (
    ConnectionCounts,
    ConnectionCountsSync,
    RateLimitsSync,
    SharedRateLimits,
)
from understudy.extensions.nodes.shared_limits import _key as key_of


@frozen
class Node:
    """One node's shared limits: sixty a minute, two connections for each user."""

    link: RedisLink
    rates: SharedRateLimits
    connections: ConnectionCounts
    messages: RateLimit
    system: ActorSystem

    def take(self, user: str, count: int) -> int:
        """Return how many of this number of commands are allowed."""
        return sum(self.messages.take(user, self.rates.clock()) == 0 for _ in range(count))


@contextlib.asynccontextmanager
async def started(redis: Redis, clock: Callable[[], float] = lambda: 0.0) -> AsyncIterator[Node]:
    """A node with its synchronising actors; its buckets refill only when the clock is advanced."""
    link = RedisLink(redis.url)
    broker = RedisBroker(link)
    rates, connections = SharedRateLimits(broker, clock=clock), ConnectionCounts(broker, 2)
    specs = [
        link.connector_spec(),
        ChildSpec("rates", lambda: RateLimitsSync(rates)),
        ChildSpec("connections", lambda: ConnectionCountsSync(connections)),
    ]
    async with ActorSystem("node", specs) as system:
        await link.wait_up()
        await until(lambda: rates.ledger.open)
        messages = RateLimit(60, 60, name="messages", ledger=rates.ledger)
        yield Node(link, rates, connections, messages, system)


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not holds():  # noqa: ASYNC110
            await trio.sleep(0.01)


@pytest.fixture
async def pair(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes on one empty Redis. A connection over the limit is retried for a while: see `refused`."""
    monkeypatch.setattr(shared_limits, "PATIENCE_S", 60.0)
    monkeypatch.setattr(shared_limits, "PRESENCE_S", 0.1)
    monkeypatch.setattr(shared_limits, "RETRY_S", 0.1)
    redis.flush()
    async with started(redis) as one, started(redis) as other:
        yield one, other


async def refused(node: Node, user: str, name: str) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_limits, "PATIENCE_S", 0.4)
        return not await node.connections.enter(user, name)


async def reported(node: Node, *users: str) -> None:
    """Wait until Redis has what these users have taken: the report that is sent next begins after the one of theirs."""
    for each in (*users, "next"):
        if each == "next":
            node.take(each, 1)
        await until(lambda user=each: node.rates.ledger.unreported(node.messages, user) == 0)


def left(node: Node, user: str) -> float:
    bucket = node.messages._buckets.get(user)
    return 60.0 if bucket is None else bucket._tokens


async def test_tokens_taken_on_one_node_are_missing_on_the_other(pair: tuple[Node, Node]) -> None:
    one, other = pair
    assert one.take("ada", 50) == 50
    await reported(one, "ada")
    assert other.take("ada", 1) == 1
    await until(lambda: left(other, "ada") < 20)
    assert other.take("ada", 60) <= 10
    assert other.take("bob", 60) == 60


async def test_what_was_overdrawn_is_paid_back(pair: tuple[Node, Node]) -> None:
    """Both nodes allow a whole burst at the same moment: the shared bucket is then below zero, by one burst at
    most."""
    one, other = pair
    assert one.take("ada", 60) == other.take("ada", 60) == 60
    await until(lambda: left(one, "ada") < -50 or left(other, "ada") < -50)
    later = one if left(one, "ada") < left(other, "ada") else other
    assert left(later, "ada") >= -60
    await later.rates._report([(later.messages, "ada", 1000)])
    assert left(later, "ada") >= -60
    assert 50 < later.messages.take("ada", 0.0) <= 62, "the time until there is one again"


async def test_tokens_taken_during_a_report_are_not_lost(pair: tuple[Node, Node], monkeypatch) -> None:
    """Redis' answer does not include these tokens: they are subtracted from it."""
    one, other = pair
    await other.rates._report([(other.messages, "ada", 20)])
    assert one.take("ada", 10) == 10
    taken = one.rates.ledger.take_unreported(10)
    assert one.take("ada", 5) == 5
    await one.rates._report(taken)
    assert left(one, "ada") == pytest.approx(60 - 20 - 10 - 5, abs=0.5)  # a little has come back


async def test_many_users_are_reported_in_several_calls(pair: tuple[Node, Node], monkeypatch) -> None:
    monkeypatch.setattr(shared_limits, "BUCKETS_PER_CALL", 3)
    one, other = pair
    for number in range(10):
        assert one.take(f"u{number}", 59) == 59
    await reported(one, *(f"u{number}" for number in range(10)))
    for number in range(10):
        other.take(f"u{number}", 1)
    await until(lambda: all(left(other, f"u{number}") < 2 for number in range(10)))


async def test_connections_of_a_user_are_limited_over_all_nodes(pair: tuple[Node, Node]) -> None:
    one, other = pair
    assert await one.connections.enter("ada", "c1")
    assert await other.connections.enter("ada", "c2")
    assert await refused(one, "ada", "c3")
    assert await one.connections.enter("bob", "b1")
    one.connections.leave("c3")
    other.connections.leave("c2")
    other.connections.leave("c2")
    assert await one.connections.enter("ada", "c4"), "waits for the report of the other node"
    assert await refused(other, "ada", "c5")


async def test_the_last_place_is_given_once(pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_limits, "PATIENCE_S", 3.0)
    one, other = pair
    assert await one.connections.enter("ada", "c1")
    let_in: list[bool] = []

    async def enter(node: Node, name: str) -> None:
        let_in.append(await node.connections.enter("ada", name))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(enter, one, "c2")
        nursery.start_soon(enter, other, "c3")
    assert sorted(let_in) == [False, True]


async def test_a_connection_counts_for_its_latest_user_only(pair: tuple[Node, Node]) -> None:
    """As after a sign-in as another user over the same socket."""
    one, other = pair
    assert await one.connections.enter("ada", "c1")
    assert await one.connections.enter("ada", "c2")
    assert await one.connections.enter("bob", "c2")
    assert await other.connections.enter("ada", "c3")


async def test_a_connection_may_leave_while_it_is_retried(pair: tuple[Node, Node]) -> None:
    one, other = pair
    assert await one.connections.enter("ada", "c1")
    assert await one.connections.enter("ada", "c2")
    with trio.move_on_after(0.1):
        await other.connections.enter("ada", "c3")
    one.connections.leave("c1")
    assert await other.connections.enter("ada", "c4")


async def test_a_dead_node_s_connections_do_not_count(redis: Redis) -> None:
    redis.flush()
    async with started(redis) as one:
        async with started(redis) as dead:
            assert await dead.connections.enter("ada", "c1")
            assert await dead.connections.enter("ada", "c2")
        assert dead.connections._mine["ada"] == 2, "it had no time to say goodbye"
        assert await one.connections.enter("ada", "c3")
        assert await one.connections.enter("ada", "c4")
        assert await refused(one, "ada", "c5")


async def test_each_counts_alone_while_redis_is_away(own_redis: Redis) -> None:
    async with started(own_redis) as one, started(own_redis) as other:
        assert await one.connections.enter("ada", "c1")
        own_redis.kill()
        await until(lambda: not (one.link.up or other.link.up))
        assert await other.connections.enter("ada", "c2")
        assert await other.connections.enter("ada", "c3")
        assert one.take("ada", 70) == 60
        assert other.take("ada", 70) == 60
        await until(lambda: not one.rates.ledger.open)
        one.take("eve", 10)
        assert one.rates.ledger.unreported(one.messages, "eve") == 0, "nothing could be reported"
        other.connections.leave("c3")
        own_redis.start()
        await until(lambda: one.link.up and other.link.up)
        await until(lambda: own_redis.command("HLEN", key_of("connections", "ada")) == ":2")
        assert await refused(other, "ada", "c4")
        await until(lambda: one.rates.ledger.open and other.rates.ledger.open)
        assert one.take("bob", 30) == 30
        await until(lambda: one.rates.ledger.unreported(one.messages, "bob") == 0)


async def test_counters_that_somebody_wrote_over_start_again(redis: Redis) -> None:
    async with started(redis) as node:
        broker, here = RedisBroker(node.link), "here"
        await node.link.call(lambda client: client.set("understudy:here:there", b"1"))
        await node.link.call(lambda client: client.hset("spoilt", {"there": "many"}))
        assert await broker.count("spoilt", here, 1, 2)
        await node.link.call(lambda client: client.hset("bucket", {"left": "much", "at": "noon"}))
        assert await broker.take_tokens([TokensTaken("bucket", 60, 10, 3)]) == [7.0]
