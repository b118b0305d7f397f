"""What goes wrong in PostgreSQL's database, and schemas of another age in both: nothing is acknowledged and lost.

The same of SQLite's file is in `test_writer` (full, locked, removed), `test_sqlite` (read-only) and `test_inspection`
(corrupt).
"""

import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command

from tests.servers.postgresql import Postgres
from understudy.storage import StorageUnavailable, open_database, schema
from understudy.storage.errors import CannotConnect, SchemaTooNew
from understudy.storage.migrations import configuration
from understudy.storage.postgresql import connect_database

from .test_postgresql import execute
from .test_writer import running

FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.seq > 2) EXECUTE FUNCTION full_disk();
"""


async def test_a_full_disk_of_postgresql(postgres: Postgres, template: str, make: Any) -> None:
    """In the middle of a group: nothing of it is stored, and its askers hear why; with room again it all is."""
    address = postgres.create(template)
    database = connect_database(address)
    async with running(database, deadline_s=0.2) as (store, _):
        await store.commit(make.opening())
        execute(address, FULL)
        change = make.change(events=make.events(2, 4), messages=(make.message(),))
        for _ in range(2):
            with pytest.raises(StorageUnavailable, match="No space left"):
                await store.commit(change)
        assert await store.last_seqs("ann", ["t1"]) == {"t1": 1}
        assert await store.message("ann", "m1") is None
        execute(address, "DROP TRIGGER full_disk ON events")
        await store.commit(change)
        assert [event.seq for event in await store.events("ann", "t1", 0)] == [1, 2, 3, 4]
    database.close()


async def test_a_database_that_became_read_only(postgres: Postgres, template: str, make: Any) -> None:
    """As a standby is, or one that an operator set so: it is read, nothing is taken in, and a node cannot join."""
    address = postgres.create(template)
    name = address.rpartition("/")[2]
    database = connect_database(address)
    async with running(database) as (store, _):
        await store.commit(make.opening())
    database.close()
    execute(address, f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
    database = connect_database(address)
    async with running(database, deadline_s=0.2) as (store, _):
        with pytest.raises(StorageUnavailable, match="read-only"):
            await store.commit(make.change(events=make.events(2, 2)))
        with pytest.raises(StorageUnavailable, match="read-only"):
            await store.join("a")
        with pytest.raises(StorageUnavailable, match="read-only"):
            await store.check()
        assert await store.last_seqs("ann", ["t1"]) == {"t1": 1}
    database.close()


async def test_a_table_that_another_process_has_locked(postgres: Postgres, template: str, make: Any) -> None:
    """As by maintenance: askers hear within their deadline that storage is not available, reading goes on or waits for
    its own; when the lock is gone, storing goes on."""
    address = postgres.create(template)
    database = connect_database(address)
    async with running(database, deadline_s=0.3) as (store, _):
        await store.commit(make.opening())
        with psycopg.connect(address) as other:
            other.execute("LOCK TABLE events IN EXCLUSIVE MODE")
            with pytest.raises(StorageUnavailable):
                await store.commit(make.change(events=make.events(2, 2)))
            assert [event.seq for event in await store.events("ann", "t1", 0)] == [1]
        store.deadline_s = 10.0
        await store.commit(make.change(events=make.events(2, 2)))
        assert [event.seq for event in await store.events("ann", "t1", 0)] == [1, 2]
    database.close()


def test_too_many_connections(postgres: Postgres, template: str) -> None:
    """The server lets nobody in: a start says so in a sentence."""
    address = postgres.create(template)
    name = address.rpartition("/")[2]
    execute(address, "CREATE ROLE limited LOGIN", f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    try:
        with pytest.raises(CannotConnect, match="too many connections"):
            connect_database(address.replace("understudy@", "limited@"))
    finally:
        execute(address, f"ALTER DATABASE {name} CONNECTION LIMIT -1", "DROP ROLE limited")


@pytest.mark.slow
@pytest.mark.parametrize("revision", [schema.REVISIONS[0], schema.REVISIONS[-2]])
def test_an_older_schema_is_brought_up_to_date(
    postgres: Postgres, template: str, migrated: Path, tmp_path: Path, revision: str
) -> None:
    """In both databases, from the first revision and from the last before this; one that is newer is refused."""
    folder = Path(shutil.copytree(migrated, tmp_path / "data"))
    address = postgres.create(template)
    for opens in (lambda: open_database(folder), lambda: connect_database(address)):
        database = opens()
        with database.writing.begin() as connection:
            command.downgrade(configuration(connection), revision)
        database.close()
        database = opens()
        with database.reading.begin() as connection:
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        with database.writing.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        database.close()
        assert found == schema.HEAD
        with pytest.raises(SchemaTooNew):
            opens()
