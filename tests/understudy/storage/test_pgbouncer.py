"""PostgreSQL behind a PgBouncer in transaction mode: no session is ours, and nothing of ours is left in one."""

from typing import Any

import psycopg
import pytest
import trio
from attrs import evolve

from tests.rigs.store import running
from tests.servers.pgbouncer import POOL, PgBouncer
from tests.servers.postgresql import Postgres
from understudy.extensions.nodes import storage as nodes
from understudy.extensions.nodes.storage import join_nodes, leave_nodes, renew_node
from understudy.storage import queries, schema
from understudy.storage.errors import Fenced
from understudy.storage.postgresql import READERS, connect_database, inspect_server
from understudy.storage.records import Fence
from understudy.storage.writer import commit_group


def test_a_database_is_made_and_looked_at(postgres: Postgres, pgbouncer: PgBouncer) -> None:
    address = pgbouncer.address(postgres.create())
    assert inspect_server(address)[1] is None
    connect_database(address).close()
    assert inspect_server(address)[1] == schema.HEAD


async def test_two_servers_share_fewer_sessions_than_they_open(
    postgres: Postgres, pgbouncer: PgBouncer, template: str, make: Any
) -> None:
    assert POOL < READERS
    address = pgbouncer.address(postgres.create(template))
    databases = [connect_database(address) for _ in range(2)]
    async with running(databases[0]) as (first, _), running(databases[1]) as (second, _):
        stores = {"a": first, "b": second}
        for node, store in stores.items():
            assert await store.commit_urgent(join_nodes(node, lease_s=60.0))

        async def talk(node: str, number: int) -> None:
            store, name, run = stores[node], f"{node}{number}", f"r-{node}{number}"
            fence = await nodes.claim(store, "ann", name, node)
            assert fence == Fence(node, 1)
            await store.commit(_under(make.opening("ann", name, run), fence))
            for seq in range(2, 8):
                await store.commit(_under(make.change("ann", name, events=make.events(seq, seq, run)), fence))
                assert (await store.thread("ann", name)).last_seq == seq

        async with trio.open_nursery() as nursery:
            for node in stores:
                for number in range(10):
                    nursery.start_soon(talk, node, number)
        for store in stores.values():
            assert set((await store.read(queries.live_threads, "ann")).values()) == {7}
            assert await store.commit_urgent(renew_node("a", 60.0))
        assert await nodes.claim(second, "ann", "a0", "b") == "a"
        await first.commit_urgent(leave_nodes("a"))
        fence = await nodes.claim(second, "ann", "a0", "b")
        assert fence == Fence("b", 2)
        with pytest.raises(Fenced):
            await first.commit(_under(make.change("ann", "a0", events=make.events(8, 8)), Fence("a", 1)))
        await second.commit(_under(make.change("ann", "a0", events=make.events(8, 8)), fence))
    for database in databases:
        database.close()


def test_nothing_is_left_in_a_session(postgres: Postgres, pgbouncer: PgBouncer, template: str, make: Any) -> None:
    """What bounds a transaction ends with it: the next client of the same session finds the server's own settings."""
    address = pgbouncer.address(postgres.create(template))
    database = connect_database(address)
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    with database.writing.begin() as connection:
        our_values = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]
    with database.writing.connect() as connection:
        commit_group(connection, [make.opening("ann", name, name) for name in ("t1", "t2")])
        for seq in range(2, 12):  # as often as a driver would prepare a statement
            appends = [make.change("ann", name, events=make.events(seq, seq)) for name in ("t1", "t2")]
            assert commit_group(connection, appends) == [True, True]
    with database.reading.begin() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "repeatable read"
    database.close()
    assert our_values == ["5s", "500ms", "2s"]
    for _ in range(2 * POOL):
        with psycopg.connect(address, autocommit=True) as other:
            values = [other.execute(f"SHOW {name}").fetchone()[0] for name in (*names, "transaction_isolation")]
            assert values == ["0", "0", "0", "read committed"]
            assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
            assert other.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)


def _under(change: Any, fence: Fence | str) -> Any:
    return evolve(change, fence=fence)
