"""Limits that nodes share through a real PostgreSQL: rates, and numbers of connections."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial

import psycopg
import pytest
import trio
from attrs import frozen

from actors import ActorSystem, ChildSpec
from tests.extensions.nodes.carriers import until
from tests.servers.postgresql import Postgres
from transport.connection.limits import RateLimit
from understudy.chat.run_limiter import RunLimiter
from understudy.extensions.nodes import shared_limits
from understudy.extensions.nodes.background import Background
from understudy.extensions.nodes.membership import Member, Membership, join
from understudy.extensions.nodes.shared_counts import SWEEP_EVERY, TokensTaken, counted_by_others, report, tokens_left
from understudy.extensions.nodes.shared_limits import SharedLimits, key_of
from understudy.storage.postgresql import connect_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter

LEASE_S = 1.0
SLOW, FULL = ("rate:x", "slow"), ("rate:x", "full")


@frozen
class Node:
    """One node's shared limits: sixty a minute, two connections for each user."""

    limits: SharedLimits
    messages: RateLimit
    member: Member

    def take(self, user: str, count: int) -> int:
        """Return how many of this number of commands are allowed."""
        return sum(self.messages.take(user, self.limits.clock()) == 0 for _ in range(count))


@contextlib.asynccontextmanager
async def started(address: str, deadline_s: float = 30.0) -> AsyncIterator[Node]:
    """A node with its synchronising actor; its own buckets do not refill."""
    database = await trio.to_thread.run_sync(connect_database, address)
    async with ActorSystem("node", [ChildSpec("writer", lambda: StoreWriter(database))]) as system:
        store = Store(database, partial(system.find, "/node/writer"), deadline_s=deadline_s)
        member = Member(store)
        await join(member, lease_s=LEASE_S)
        limits = SharedLimits(store, member, 2, RunLimiter(2, 8), lambda: True, lambda: 0.0)
        membership = partial(Membership, member, lambda: None, lease_s=LEASE_S, every_s=LEASE_S / 6)
        await system.spawn(ChildSpec("membership", membership))
        await system.spawn(ChildSpec("limits", partial(Background, limits.synchronise)))
        await until(lambda: limits.ledger.open)
        yield Node(limits, RateLimit(60, 60, name="messages", ledger=limits.ledger), member)
    await trio.to_thread.run_sync(database.close)


@pytest.fixture
async def pair(postgres: Postgres, template: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes on one database. A connection over the limit is retried for a while: see `refused`."""
    monkeypatch.setattr(shared_limits, "PATIENCE_S", 60.0)
    monkeypatch.setattr(shared_limits, "REPORT_S", 0.1)
    monkeypatch.setattr(shared_limits, "RETRY_S", 0.1)
    address = postgres.create(template)
    async with started(address) as first, started(address) as second:
        yield first, second


async def refused(node: Node, user: str, name: str) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_limits, "PATIENCE_S", 0.4)
        return not await node.limits.enter(user, name)


async def reported(node: Node, *users: str) -> None:
    """Wait until the database has the tokens of these users: a report begins after the one with theirs."""
    for who in (*users, "next"):
        if who == "next":
            node.take(who, 1)
        await until(lambda user=who: node.limits.ledger.unreported(node.messages, user) == 0)


async def until_connected(node: Node, user: str, number: int) -> None:
    """Wait until this node sees so many connections of a user on others."""

    async def counted() -> bool:
        count = await node.limits.store.read(counted_by_others, node.member.id, key_of("connections", user))
        return count == number

    await until(counted)


def left(node: Node, user: str) -> float:
    bucket = node.messages._buckets.get(user)
    return 60.0 if bucket is None else bucket._tokens


async def test_tokens_taken_on_one_node_are_missing_on_the_other(pair: tuple[Node, Node]) -> None:
    first, second = pair
    assert first.take("ada", 50) == 50
    await reported(first, "ada")
    assert second.take("ada", 1) == 1
    await until(lambda: left(second, "ada") < 20)
    assert second.take("ada", 60) <= 10
    assert second.take("bob", 60) == 60


async def test_what_was_overdrawn_is_paid_back(pair: tuple[Node, Node]) -> None:
    """Both nodes allow a whole burst at the same moment: the shared bucket is then below zero, by one burst at
    most."""
    first, second = pair
    assert first.take("ada", 60) == second.take("ada", 60) == 60
    await until(lambda: left(first, "ada") < -50 or left(second, "ada") < -50)
    later = first if left(first, "ada") < left(second, "ada") else second
    assert left(later, "ada") >= -60
    await later.limits._store({}, [(later.messages, "ada", 1000)])
    assert left(later, "ada") >= -60
    assert 50 < later.messages.take("ada", 0.0) <= 62, "the time until there is one again"


async def test_a_report_that_is_stored_again_takes_nothing_again(pair: tuple[Node, Node]) -> None:
    first, _ = pair
    twice = report(first.member.id, 10_000, {("connections", "x"): 1}, [TokensTaken(SLOW, 0.001, 10, 3)])
    assert await first.limits.store.commit(twice)
    assert not await first.limits.store.commit(twice)
    assert await first.limits.store.read(tokens_left, [SLOW]) == {SLOW: pytest.approx(7.0, abs=0.01)}


async def test_tokens_taken_during_a_report_are_not_lost(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database's answer does not include these tokens: they are subtracted from it."""
    first, second = pair
    monkeypatch.setattr(shared_limits, "ALONE_S", 60.0)
    first.limits.accompanied = second.limits.accompanied = lambda: False  # nothing else reports them
    await until(lambda: not first.limits.ledger.open and not second.limits.ledger.open)
    first.limits.ledger.open = True
    first.limits._reported_as, second.limits._reported_as = first.member.id, second.member.id
    slow = RateLimit(0.1, 60, name="slow", ledger=first.limits.ledger)
    await second.limits._store({}, [(RateLimit(0.1, 60, name="slow"), "ada", 20)])
    for _ in range(10):
        assert slow.take("ada", 0.0) == 0
    report = first.limits.ledger.take_unreported(10)
    for _ in range(5):
        assert slow.take("ada", 0.0) == 0
    await first.limits._store({}, report)
    assert slow._buckets["ada"]._tokens == pytest.approx(60 - 20 - 10 - 5, abs=1.0)  # a little has come back


async def test_many_users_are_reported_in_several_writes(pair: tuple[Node, Node], monkeypatch) -> None:
    monkeypatch.setattr(shared_limits, "MOST", 3)
    first, second = pair
    for number in range(10):
        assert first.take(f"u{number}", 59) == 59
        assert await first.limits.enter(f"u{number}", f"c{number}")
    await reported(first, *(f"u{number}" for number in range(10)))
    for number in range(10):
        second.take(f"u{number}", 1)
        await until_connected(second, f"u{number}", 1)
    await until(lambda: all(left(second, f"u{number}") < 3 for number in range(10)))


async def test_connections_of_a_user_are_limited_over_all_nodes(pair: tuple[Node, Node]) -> None:
    first, second = pair
    assert await first.limits.enter("ada", "c1")
    assert await second.limits.enter("ada", "c2")
    await until_connected(first, "ada", 1)
    assert await refused(first, "ada", "c3")
    assert await first.limits.enter("bob", "b1")
    second.limits.leave("c2")
    second.limits.leave("c2")
    assert await first.limits.enter("ada", "c4"), "waits for the report of the other node"
    await until_connected(second, "ada", 2)
    assert await refused(second, "ada", "c5")


async def test_a_connection_may_leave_while_it_is_retried(pair: tuple[Node, Node]) -> None:
    first, second = pair
    assert await first.limits.enter("ada", "c1")
    assert await first.limits.enter("ada", "c2")
    await until_connected(second, "ada", 2)
    with trio.move_on_after(0.1):
        await second.limits.enter("ada", "c3")
    first.limits.leave("c1")
    assert await second.limits.enter("ada", "c4")


async def test_a_dead_node_s_connections_do_not_count(postgres: Postgres, template: str) -> None:
    address = postgres.create(template)
    async with started(address) as first:
        async with started(address) as dead:
            assert await dead.limits.enter("ada", "c1")
            assert await dead.limits.enter("ada", "c2")
            await until_connected(first, "ada", 2)
            dead.member.joined = False  # it has no time to say goodbye
        assert await first.limits.enter("ada", "c3"), "waits until the lease is over"
        assert await first.limits.enter("ada", "c4")
        assert await refused(first, "ada", "c5")


async def test_a_node_that_was_taken_for_dead_counts_again(pair: tuple[Node, Node]) -> None:
    first, second = pair
    assert await first.limits.enter("ada", "c1")
    await until_connected(second, "ada", 1)
    first.member.rename()
    await join(first.member, lease_s=60.0)
    await until_connected(second, "ada", 1 + 1)  # under both names, until the lease of the first is over
    await until_connected(second, "ada", 1)


async def test_what_says_nothing_any_more_is_deleted(pair: tuple[Node, Node]) -> None:
    first, second = pair
    store, gone = first.limits.store, ("connections", "x")
    await store.commit(report("gone", 2, {gone: 1}, [TokensTaken(FULL, 1e9, 10, 3), TokensTaken(SLOW, 1, 10, 3)]))
    first.limits._reports = 2  # the next is not one that deletes
    await store.commit(report(second.member.id, 10 * SWEEP_EVERY + 1, {}, ()))
    assert list(await store.read(tokens_left, [FULL, SLOW])) == [SLOW]
    count = "SELECT count(*) FROM shared_counts WHERE node = 'gone'"
    assert await store.read(lambda connection: connection.exec_driver_sql(count).scalar_one()) == 0


async def test_a_node_that_is_alone_neither_reports_nor_asks_until_it_is_not(pair: tuple[Node, Node]) -> None:
    first, second = pair
    first.limits.accompanied = lambda: False
    await until(lambda: not first.limits.ledger.open)
    assert await first.limits.enter("ada", "c1")
    assert await second.limits.enter("ada", "c2")
    assert await second.limits.enter("ada", "c3")
    assert await first.limits.enter("ada", "c4"), "it knows of no other"
    assert not await first.limits.enter("ada", "c5")
    first.limits.accompanied = lambda: True
    await until_connected(second, "ada", 2)
    assert await refused(first, "ada", "c6")


def plan_among_connections(address: str) -> str:
    """Return PostgreSQL's plan for reading the counts of runs among those of many connections."""
    with psycopg.connect(address, autocommit=True) as line:
        insertion = "SELECT 'connections', 'u' || n, 'x', 1, 0 FROM generate_series(1, 20000) AS n"
        line.execute(f"INSERT INTO shared_counts {insertion}")
        line.execute("ANALYZE shared_counts")
        kinds = ", ".join(f"'{kind}'" for kind in shared_limits.RUNS)
        plan = line.execute(f"EXPLAIN SELECT * FROM shared_counts WHERE kind IN ({kinds})")
        return "\n".join(row[0] for row in plan)


async def test_counts_of_runs_are_found_by_an_index(postgres: Postgres, template: str) -> None:
    plan = await trio.to_thread.run_sync(plan_among_connections, postgres.create(template))
    assert "Seq Scan" not in plan, plan


async def test_each_counts_alone_while_the_database_is_away(own_postgres: Postgres, monkeypatch) -> None:
    monkeypatch.setattr(shared_limits, "REPORT_S", 0.1)
    address = own_postgres.create()
    async with started(address, deadline_s=1.0) as first, started(address, deadline_s=1.0) as second:
        assert await first.limits.enter("ada", "c1")
        await until_connected(second, "ada", 1)
        await trio.to_thread.run_sync(own_postgres.stop, "immediate")
        assert await second.limits.enter("ada", "c2")
        assert await second.limits.enter("ada", "c3")
        assert second.take("ada", 70) == 60
        await until(lambda: not second.limits.ledger.open)
        second.take("eve", 10)
        assert second.limits.ledger.unreported(second.messages, "eve") == 0, "nothing can be reported"
        second.limits.leave("c3")
        await trio.to_thread.run_sync(own_postgres.start)
        await until(lambda: second.limits.ledger.open)
        await until_connected(first, "ada", 1)  # the table was emptied by the crash
        assert second.take("bob", 30) == 30
        await reported(second, "bob")
