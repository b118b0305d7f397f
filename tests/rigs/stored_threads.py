"""A database with threads of users of two tenants."""

import shutil
from pathlib import Path

import pytest
import trio

from actors import ActorSystem, ChildSpec
from tests.rigs.database import Make
from tests.servers.postgresql import Postgres
from understudy.storage.database import Database
from understudy.storage.owners import owner_of
from understudy.storage.postgresql import connect_database
from understudy.storage.sqlite import open_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The options that name a database with three users: two of one name in two tenants, and one without a tenant."""
    options = ["--data-dir", str(tmp_path / "data")]
    if request.param == "sqlite":
        shutil.copytree(request.getfixturevalue("migrated"), tmp_path / "data")
        database: Database = open_database(tmp_path / "data")
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create(request.getfixturevalue("template"))
        options += ["--database-url", url]
        database = connect_database(url)
    trio.run(fill, database)
    database.close()
    return options


async def fill(database: Database) -> None:
    """Ann of acme has two threads; the others have one each."""
    make = Make()
    async with ActorSystem("test") as system:
        writer = await system.spawn(ChildSpec("writer", lambda: StoreWriter(database)))
        store = Store(database, lambda: writer)
        for number, (tenant, thread) in enumerate((("acme", "t1"), ("acme", "t2"), ("globex", "t1"), (None, "t1"))):
            owner, run = owner_of("ann", tenant), f"r{number}"
            await store.commit(make.opening(owner, thread, run))
            message = make.message(owner, thread, f"m{number}", run_id=run, content=f"# of {tenant}\n```\n{thread}")
            ended = make.ending(run)
            change = make.change(owner, thread, messages=[message], steps=[make.step(1, run)], run_end=ended)
            await store.commit(change)
