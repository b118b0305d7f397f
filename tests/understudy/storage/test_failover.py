"""Failover of PostgreSQL: the address names both servers, and connections find the primary."""

from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest
import trio
from sqlalchemy import Connection, Engine, insert
from sqlalchemy.exc import SQLAlchemyError

from tests.rigs.database import Make
from tests.rigs.store import serving
from tests.servers.postgresql import Pair, execute
from understudy.storage import queries, schema
from understudy.storage.errors import CannotConnect, StorageUnavailable
from understudy.storage.postgresql import PostgresDatabase, _parse, _where, connect_database, inspect_server
from understudy.storage.prepared import Prepared
from understudy.storage.store import Store

_add_user = insert(schema.users)
_add_user_prepared = Prepared(_add_user)
_USER = {"id": "ann", "created_at": 1.0, "tenant": None}


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("postgresql://me:hunter2@db1,db2/chat?target_session_attrs=read-write", "db1,db2/chat"),
        ("postgresql://me:hunter2@db1:5433,db2/chat", "db1,db2/chat"),
        ("postgresql://db1:5433,[::1]:5434/chat", "db1,::1/chat"),
        ("postgresql://me:hun/ter2@db1,db2/chat", "db1,db2/chat"),
        ("postgresql:///chat?host=db1,db2&port=5433,5434", "db1,db2/chat"),
        ("postgres://me:hunter2@db1,db2/chat", "db1,db2/chat"),
        ("host=db1,db2 port=5433,5434 dbname=chat password='hunter2 @'", "db1,db2/chat"),
        ("service=chat", "chat/"),
        ("postgresql:///?service=chat", "chat/"),
        ("postgresql:///chat?host=/run/postgresql", "/run/postgresql/chat"),
        ("postgresql://me:hunt%2Fer2@%2Frun%2Fpostgresql/ch%C3%A4t", "/run/postgresql/chät"),
        ("postgresql://me@db:5432/chat?options=-csearch_path%3Dchat&application_name=a%40b", "db/chat"),
        ("postgresql://me@[::1]:5433/chat", "::1/chat"),
        ("postgresql:///chat", "the local socket/chat"),
    ],
)
def test_an_address_is_read_as_libpq_reads_it(address: str, where: str) -> None:
    assert _where(_parse(address)) == where


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:hun@ter2@db/chat", "postgresql://me:hun@ter2/x@db/chat",
        "postgresql://me:hun@ter2?x=y@db/chat", "postgresql://me:hunter2@db1:x,db2/chat",
        "postgresql://me:hunter2@db1:1:2,db2/chat", "postgresql://me:hunter2@db1:99999999999999999999,db2/chat?port=x",
        "postgresql://me:hun%ter2@db/chat", "postgresql://me:hunter2@db/chat?sslmode", "host=db password=hun ter2=x",
        "postgresql://me:hunter2@db/chat?sslmode=require&sslmode=disable",
    ],
)  # fmt: skip
def test_a_malformed_address_is_refused_without_a_word_of_the_password(address: str) -> None:
    with pytest.raises(CannotConnect) as caught:
        connect_database(address)
    assert "ter2" not in f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.where == "database_url"


@pytest.mark.proof("chaos")
async def test_the_primary_dies_and_the_standby_is_promoted(postgres_pair: Pair, make: Any) -> None:
    address = postgres_pair.create()
    assert inspect_server(address)[1] is None
    async with serving(address) as (store, _):
        await store.commit(make.opening())
        await store.commit(make.change(events=make.events(2, 20)))
        store.deadline_s = 0.3
        await trio.to_thread.run_sync(postgres_pair.primary.stop, "immediate")
        for attempt in (lambda: store.commit(make.change(events=make.events(21, 21))), store.check):
            with pytest.raises(StorageUnavailable):
                await attempt()
        await trio.to_thread.run_sync(postgres_pair.standby.promote)
        store.deadline_s = 30.0
        await store.commit(make.change(events=make.events(21, 21)))
        await store.check()
        assert [event.seq for event in await store.events("ann", "t1", 0)] == list(range(1, 22))


async def try_probes(store: Store, _: Make) -> None:
    """Check the store until it cannot write. SQLAlchemy sends the statement."""
    while True:
        await store.check()


async def try_events(store: Store, make: Make) -> None:
    """Append events until they cannot be stored. The driver alone sends the statements."""
    (last,) = (await store.read(queries.last_seqs, "ann", ["t1"])).values()
    while True:
        last += 1
        await store.commit(make.change(events=make.events(last, last)))


@pytest.mark.proof("chaos")
@pytest.mark.parametrize("attempts", [try_probes, try_events])
async def test_the_primary_takes_no_more_writes_and_lives(
    postgres_pair: Pair, make: Make, attempts: Callable[[Store, Make], Awaitable[None]]
) -> None:
    """As in a planned change: from the first refused write on, whichever it is, also reads wait for the new primary. On
    the former one they would find what was stored before.
    """
    async with serving(postgres_pair.create()) as (store, _):
        await store.commit(make.opening())
        await store.check()  # a connection is pooled that can only read
        store.deadline_s = 0.3
        await trio.to_thread.run_sync(postgres_pair.primary.set, "default_transaction_read_only", "on")
        with trio.fail_after(60), pytest.raises(StorageUnavailable):  # a session hears of a setting a little later
            await attempts(store, make)
        with pytest.raises(StorageUnavailable):
            await store.read(queries.last_seqs, "ann", ["t1"])
        await trio.to_thread.run_sync(postgres_pair.standby.promote)
        store.deadline_s = 30.0
        await store.commit(make.opening(thread_id="t2", run_id="r2"))
        assert await store.read(queries.last_seqs, "ann", ["t2"]) == {"t2": 1}


def by_sqlalchemy(connection: Connection) -> None:
    connection.execute(_add_user, _USER)


def prepared(connection: Connection) -> None:
    _add_user_prepared.run(connection, [_USER])


def prepared_many(connection: Connection) -> None:
    _add_user_prepared.run(connection, [_USER, _USER | {"id": "bob"}])


def by_the_driver(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    driver.execute("INSERT INTO users (id, created_at) VALUES ('ann', 1)")


def backends(database: PostgresDatabase) -> list[int]:
    """Return the server's process of one pooled connection of each engine."""
    pids = []
    for engine in (database.writing, database.reading, database.files):
        with engine.begin() as connection:
            pids.append(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
    return pids


def refuse(engine: Engine, write: Callable[[Connection], None], statement: str) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
        with pytest.raises((SQLAlchemyError, psycopg.Error)):
            write(connection)


@pytest.mark.parametrize("write", [by_sqlalchemy, prepared, prepared_many, by_the_driver])
@pytest.mark.parametrize("pool", ["writing", "files"])
def test_a_write_refused_as_read_only_renews_all_pools(
    address: str, pool: str, write: Callable[[Connection], None]
) -> None:
    with closing(connect_database(address + "?target_session_attrs=any")) as database:
        first = backends(database)
        engine = getattr(database, pool)
        refuse(engine, write, "INSERT INTO users (id, created_at) VALUES ('ann', 1)")
        assert backends(database) == first
        refuse(engine, write, "SET TRANSACTION READ ONLY")
        renewed = backends(database)
        assert not set(renewed) & set(first)
        assert backends(database) == renewed


@pytest.mark.proof("chaos")
def test_a_standby_alone_is_not_served_from(postgres_pair: Pair) -> None:
    address = postgres_pair.create()
    connect_database(address).close()
    postgres_pair.primary.stop("immediate")
    with pytest.raises(CannotConnect, match="read-only"):
        connect_database(address)
    execute(postgres_pair.standby.address(address.rpartition("/")[2].partition("?")[0]), "SELECT FROM alembic_version")
