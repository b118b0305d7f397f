"""Servers of several releases on one schema: one of them migrates, and older ones keep running."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import trio
from sqlalchemy import create_engine, insert, update
from sqlalchemy.pool import NullPool

from tests.rigs.store import running
from tests.servers.postgresql import Postgres, execute
from tests.understudy.storage.later import become
from understudy.extensions.nodes.tables import nodes
from understudy.storage import schema
from understudy.storage.database import Database
from understudy.storage.errors import DatabaseUnusable, SchemaInUse, SchemaTooNew
from understudy.storage.postgresql import MIGRATION, connect_database, inspect_server, read_server
from understudy.storage.sqlite import FILE_NAME, open_database, read_folder

START = "import sys; from understudy.storage.postgresql import connect_database; connect_database(sys.argv[1]).close()"
NEWER = (
    "ALTER TABLE threads ADD COLUMN colour text",
    "ALTER TABLE events ADD COLUMN weight integer NOT NULL DEFAULT 0",
    "CREATE TABLE later (id text PRIMARY KEY)",
    "UPDATE alembic_version SET version_num = '9999'",
)


def test_servers_that_start_at_once_migrate_once(postgres: Postgres) -> None:
    address = postgres.create()
    starts = [subprocess.Popen([sys.executable, "-c", START, address], stderr=subprocess.PIPE) for _ in range(2)]
    ends = [(start.communicate(timeout=60)[1].decode(), start.returncode) for start in starts]
    assert ends == [("", 0)] * 2
    assert inspect_server(address)[1] == schema.HEAD


def test_no_server_waits_for_ever_for_a_migration(
    postgres: Postgres, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of an older release that holds a table in a transaction, or another that migrates and hangs."""
    monkeypatch.setattr("understudy.storage.postgresql.MIGRATION_S", 0.2)
    address = postgres.create()
    with connect_to(address) as other, other.begin():
        other.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION})")
        with pytest.raises(Exception, match="lock timeout"):
            connect_database(address)
    connect_database(address).close()


def connect_to(address: str) -> Any:
    return create_engine(address.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool).connect()


async def test_a_server_that_runs_goes_on_beside_a_newer_schema(address: str, make: Any) -> None:
    """Its writer restarts and its connections are cut, and it stores and reads all the same. It can be started anew
    too, as one does to go back, unless the newer release says that it cannot be used."""
    database = await trio.to_thread.run_sync(connect_database, address)
    async with running(database) as (store, ref):
        await store.commit(make.opening())
        await trio.to_thread.run_sync(execute, address, *NEWER)
        ref.kill()
        database.reading.dispose()
        await store.commit(make.change(events=make.events(2, 3)))
        await store.commit(make.opening("bob", "t2", "r2"))
        assert [event.seq for event in await store.events("ann", "t1", 0)] == [1, 2, 3]
        assert (await store.thread("ann", "t1")).last_seq == 3
        another = await trio.to_thread.run_sync(connect_database, address)
        another.close()
        oldest = "UPDATE compatibility SET oldest_revision = '9998'"
        await trio.to_thread.run_sync(execute, address, oldest)
        with pytest.raises(SchemaTooNew, match="9999"):
            await trio.to_thread.run_sync(inspect_server, address)
    database.close()


ON_POSTGRESQL = pytest.param(True, marks=pytest.mark.needs("postgresql"))
ON_BOTH = pytest.mark.parametrize("postgresql", [False, ON_POSTGRESQL], ids=["sqlite", "postgresql"])


@ON_BOTH
async def test_this_release_starts_on_a_schema_that_only_grew_and_is_refused_by_one_that_shrank(
    request: pytest.FixtureRequest, folder: Path, make: Any, monkeypatch: pytest.MonkeyPatch, *, postgresql: bool
) -> None:
    opens: Callable[[], Database] = partial(open_database, folder)
    if postgresql:
        postgres: Postgres = request.getfixturevalue("postgres")
        opens = partial(connect_database, postgres.create(request.getfixturevalue("template")))
    for number in (1, 2):
        with monkeypatch.context() as patching:
            become(number, patching.setattr)
            async with running(await trio.to_thread.run_sync(opens)) as (store, _):
                await store.commit(make.opening(thread_id=f"t{number}", run_id=f"r{number}"))
            store.database.close()
        if number == 1:
            async with running(await trio.to_thread.run_sync(opens)) as (store, _):
                assert [event.seq for event in await store.events("ann", "t1", 0)] == [1]
                await store.commit(make.opening("bob", "t9", "r9"))
            store.database.close()
    release = version("understudy-server")
    with pytest.raises(
        SchemaTooNew, match=f"has schema 9002 .* know 9001, .* up to {schema.HEAD}: start understudy {release}"
    ):
        await trio.to_thread.run_sync(opens)
    with monkeypatch.context() as patching:
        become(1, patching.setattr)
        (await trio.to_thread.run_sync(opens)).close()


def test_a_node_that_lags_behind_its_database_is_not_left_with_a_schema_it_cannot_use(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of two later releases only expands, so this one goes on beside it; the second is refused while a node
    of this release lives, and migrates as soon as all that do are of the first."""
    database = connect_database(address)
    with database.writing.begin() as connection:
        node = insert(nodes).values(id="here", started_at=0.0, expires_at=9e9, knows_revision=schema.HEAD)
        connection.execute(node)
    become(1, monkeypatch.setattr)
    connect_database(address).close()
    monkeypatch.undo()
    become(2, monkeypatch.setattr)
    with pytest.raises(SchemaInUse, match="used by 1 running servers"):
        connect_database(address)
    with database.writing.begin() as connection:
        connection.execute(update(nodes).values(knows_revision="9001"))
    connect_database(address).close()
    database.close()


@ON_BOTH
def test_a_schema_from_before_the_first_release_is_refused_in_a_sentence(
    request: pytest.FixtureRequest, folder: Path, *, postgresql: bool
) -> None:
    opens: list[Callable[[], object]] = [partial(open_database, folder), partial(read_folder, folder)]
    if postgresql:
        address = request.getfixturevalue("postgres").create(request.getfixturevalue("template"))
        opens = [partial(function, address) for function in (connect_database, read_server, inspect_server)]
        execute(address, "UPDATE alembic_version SET version_num = '0021'")
    else:
        with sqlite3.connect(folder / FILE_NAME) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0021'")
        connection.close()
    for opening in opens:
        with pytest.raises(DatabaseUnusable, match="its schema 0021 is older than the first release"):
            opening()
