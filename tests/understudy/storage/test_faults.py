"""Failures of a PostgreSQL database: full disk, damaged pages, read-only, a locked table, no free connections.

No acknowledged write is lost. Failures of SQLite's file are tested in `test_writer` (full, locked, removed),
`test_sqlite` (read-only) and `test_inspection` (corrupt).
"""

import os
from typing import Any

import psycopg
import pytest
import trio

from tests.rigs.store import running, serving
from tests.servers.postgresql import Postgres, execute
from understudy.extensions.nodes.storage import join_nodes
from understudy.storage import queries
from understudy.storage.errors import CannotConnect, StorageUnavailable
from understudy.storage.postgresql import connect_database
from understudy.storage.records import LoggedEvent
from understudy.storage.thread_writes import rename_thread

ROOM = 2 * 1024 * 1024
"""Bytes per file while the disk counts as full: more than PostgreSQL's own files and its log need."""


@pytest.mark.proof("chaos")
async def test_a_full_disk_of_postgresql(own_postgres: Postgres, make: Any) -> None:
    database = connect_database(own_postgres.create())
    big = tuple(LoggedEvent(number, "note", "r1", os.urandom(100_000)) for number in range(2, 42))
    async with running(database) as (store, _):
        await store.commit(make.opening())
        store.deadline_s = 0.2
        await trio.to_thread.run_sync(own_postgres.limit_files, ROOM)
        change = make.change(events=big, messages=(make.message(),))
        for _ in range(2):
            with pytest.raises(StorageUnavailable, match="could not extend file"):
                await store.commit(change)
        assert await store.read(queries.last_seqs, "ann", ["t1"]) == {"t1": 1}
        assert await store.message("ann", "m1") is None
        await trio.to_thread.run_sync(own_postgres.limit_files, -1)
        store.deadline_s = 30.0
        await store.commit(change)
        assert await store.read(queries.last_seqs, "ann", ["t1"]) == {"t1": 41}
        assert (await store.events("ann", "t1", 40))[0] == big[-1]
    database.close()


@pytest.mark.proof("chaos")
async def test_damaged_pages_of_postgresql(own_postgres: Postgres, make: Any) -> None:
    address = own_postgres.create()
    database = connect_database(address)
    async with running(database) as (store, _):
        await store.commit(make.opening("ann", "t1", "r1"))
        await store.commit(make.opening("bob", "t2", "r2"))
    ((name,),) = execute(address, "CHECKPOINT", "SELECT pg_relation_filepath('events')")
    own_postgres.stop()
    own_postgres.damage(name)
    own_postgres.start()
    async with running(database, deadline_s=10.0) as (store, _):
        with pytest.raises(StorageUnavailable, match="invalid page"):
            await store.events("ann", "t1", 0)
        assert (await store.message("ann", "m-t1")).content == "Hello"
        assert await store.commit(rename_thread("bob", "t2", "Another title"))
    database.close()


async def test_a_database_that_became_read_only(address: str, make: Any) -> None:
    name = address.rpartition("/")[2]
    database = connect_database(address)
    async with running(database) as (store, _):
        await store.commit(make.opening())
    database.close()
    execute(address, f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
    database = connect_database(address)
    async with running(database, deadline_s=10.0) as (store, _):
        for write in (
            store.commit(make.change(events=make.events(2, 2))),
            store.commit_urgent(join_nodes("a")),
            store.check(),
        ):
            with pytest.raises(StorageUnavailable, match="read-only"):
                await write
        assert await store.read(queries.last_seqs, "ann", ["t1"]) == {"t1": 1}
    database.close()


async def test_a_table_that_another_process_has_locked(address: str, make: Any) -> None:
    async with serving(address) as (store, _):
        await store.commit(make.opening())
        with psycopg.connect(address) as other:
            other.execute("LOCK TABLE events IN EXCLUSIVE MODE")
            store.deadline_s = 0.3
            with pytest.raises(StorageUnavailable):
                await store.commit(make.change(events=make.events(2, 2)))
            store.deadline_s = 30.0
            assert [event.seq for event in await store.events("ann", "t1", 0)] == [1]
        await store.commit(make.change(events=make.events(2, 2)))
        assert [event.seq for event in await store.events("ann", "t1", 0)] == [1, 2]


def test_too_many_connections(address: str) -> None:
    name = address.rpartition("/")[2]
    execute(address, "CREATE ROLE limited LOGIN", f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    try:
        with pytest.raises(CannotConnect, match="too many connections"):
            connect_database(address.replace("understudy@", "limited@"))
    finally:
        execute(address, f"ALTER DATABASE {name} CONNECTION LIMIT -1", "DROP ROLE limited")
