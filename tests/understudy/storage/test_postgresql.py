"""PostgreSQL only: addresses, outages of the server, and other servers on the same database."""

from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex

from tests.rigs.database import differences
from tests.rigs.store import serving
from tests.servers.postgresql import Postgres, execute
from understudy.app.settings import load
from understudy.storage import queries, schema, writer
from understudy.storage.errors import CannotConnect, ForeignTables, SchemaTooNew, StorageUnavailable, Unstorable
from understudy.storage.postgresql import check_cluster, connect_database, inspect_server, read_server
from understudy.storage.read_pool import ReadPool
from understudy.storage.thread_writes import rename_thread
from understudy.storage.write import probe
from understudy.storage.writer import commit_group


def test_an_empty_database_gets_the_newest_schema(postgres: Postgres, template: str) -> None:
    address = postgres.create()
    assert inspect_server(address)[1] is None
    for _ in range(2):
        database = connect_database(address)
        with database.writing.begin() as connection:
            assert differences(connection) == []
        database.close()
    assert inspect_server(address)[1] == schema.HEAD


def test_indexes_are_for_the_rows_they_are_asked_about(address: str) -> None:
    rows = execute(address, "SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%WHERE%' ORDER BY 1")
    assert [name for (name,) in rows] == [
        "ix_events_run_id_seq", "ix_messages_branches", "ix_runs_owner_request_id", "ix_runs_unfinished",
        "ix_steps_call_id", "ix_steps_open_undos", "ix_steps_unsettled", "ix_threads_archived", "ix_threads_pinned",
        "ix_threads_tagged", "ix_threads_unread",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("statements", "error", "word"),
    [
        (["CREATE TABLE threads (id text)"], ForeignTables, "threads"),
        (
            ["CREATE TABLE alembic_version (version_num text)", "INSERT INTO alembic_version VALUES ('9999')"],
            SchemaTooNew,
            "9999",
        ),
        (
            ["CREATE TABLE alembic_version (version_num text)", "INSERT INTO alembic_version VALUES ('ae1027a6acf')"],
            ForeignTables,
            "alembic_version",
        ),
        (["CREATE TABLE alembic_version (release text)"], ForeignTables, "alembic_version"),
    ],
)
def test_tables_of_others_are_left_as_they_are(
    postgres: Postgres, statements: list[str], error: type[Exception], word: str
) -> None:
    address = postgres.create()
    execute(address, *statements)
    tables = execute(address, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    for attempt in (connect_database, inspect_server):
        with pytest.raises(error, match=word):
            attempt(address)
    assert execute(address, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1") == tables


def test_tables_of_others_under_other_names_are_no_matter(postgres: Postgres, template: str) -> None:
    address = postgres.create()
    execute(address, "CREATE TABLE invoices (id text)", "INSERT INTO invoices VALUES ('first')")
    connect_database(address).close()
    assert inspect_server(address)[1] == schema.HEAD
    assert [tuple(row) for row in execute(address, "SELECT id FROM invoices")] == [("first",)]


@pytest.mark.parametrize("attempt", [connect_database, inspect_server])
def test_no_error_tells_the_password(postgres: Postgres, attempt: Any) -> None:
    for address in (
        "postgresql://me:hunter2@127.0.0.1:1/chat",
        f"postgresql://understudy:hunter2@127.0.0.1:{postgres.port}/nowhere",
        f"postgresql://nobody:hunter2@127.0.0.1:{postgres.port}/template1",
        "postgresql://me:hunter2@[/chat",
        "postgresql://me:hunter2@127.0.0.1:port/chat",
        f"postgresql://understudy:hunter2@127.0.0.1:{postgres.port}/template1?port=x",
        f"postgresql://understudy:hunter2@127.0.0.1:{postgres.port}/template1?row_factory=x",
        f"postgresql://understudy:hunter2@127.0.0.1:{postgres.port}/template1?hunter=2&sslmode=bogus",
    ):
        with pytest.raises(CannotConnect) as caught:
            attempt(address)
        texts = f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r}"
        assert "hunter2" not in texts
        assert "cannot use the database" in texts


@pytest.mark.parametrize(
    "form",
    [
        "postgres://understudy@127.0.0.1:{port}/{name}?sslmode=prefer",
        "postgresql:///{name}?host=127.0.0.1&port={port}&user=understudy",
        "host=127.0.0.1 port={port} dbname={name} user=understudy options='-c search_path=public'",
        "postgresql:///?service=chat&options=-csearch_path%3Dpublic",
        "service=chat",
    ],
)
def test_every_form_of_an_address_leads_to_the_database(
    address: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(address)
    name = parts.path[1:]
    service = f"[chat]\nhost=127.0.0.1\nport={parts.port}\ndbname={name}\nuser=understudy\n"
    (tmp_path / "services").write_text(service)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    used = form.format(port=parts.port, name=name)
    assert load(database_url=used).on_postgresql
    with closing(connect_database(used)) as database, database.reading.begin() as connection:
        assert connection.exec_driver_sql("SELECT current_database()").scalar_one() == name


@pytest.mark.parametrize(("level", "warned"), [("on", False), ("off", True)])
def test_a_server_that_may_forget_is_warned_about(
    address: str, caplog: pytest.LogCaptureFixture, level: str, warned: bool
) -> None:
    execute(address, f"ALTER DATABASE {address.rpartition('/')[2]} SET synchronous_commit TO {level}")
    connect_database(address).close()
    assert ("storage.not_durable" in caplog.messages) == warned


def test_a_nul_cannot_be_stored(address: str, make: Any) -> None:
    database = connect_database(address)
    with database.writing.connect() as connection:
        outcomes = commit_group(
            connection, [make.opening("ann", "t1"), make.opening("ann", "t\x00", "r2"), make.opening("ann", "t3", "r3")]
        )
    database.close()
    assert [type(outcome) for outcome in outcomes] == [bool, Unstorable, bool]


TEXT = "naïve 日本 🎈"


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_a_database_that_cannot_hold_all_texts_is_refused(postgres: Postgres, encoding: str) -> None:
    """At the start, by the doctor and by the operator's commands, with the way out; nothing is made in it."""
    address = postgres.create(f"template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    for use in (connect_database, inspect_server, check_cluster, read_server):
        with pytest.raises(CannotConnect, match=f"its encoding is {encoding}, .* ENCODING 'UTF8'"):
            use(address)
    assert execute(address, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


@pytest.mark.parametrize("how", ["role", "database", "address"])
async def test_a_client_encoding_that_is_set_elsewhere_counts_for_nothing(address: str, make: Any, how: str) -> None:
    if how == "role":
        user = f"latin_{address.rpartition('/')[2]}"
        execute(address, f"CREATE ROLE {user} SUPERUSER LOGIN", f"ALTER ROLE {user} SET client_encoding TO 'LATIN1'")
        used = address.replace("understudy@", f"{user}@")
    elif how == "database":
        execute(address, f"ALTER DATABASE {address.rpartition('/')[2]} SET client_encoding TO 'LATIN1'")
        used = address
    else:
        used = f"{address}?client_encoding=latin1"
    async with serving(used) as (store, _):
        await store.commit(make.opening())
        await store.commit(rename_thread("ann", "t1", TEXT))
        assert (await store.thread("ann", "t1")).title == TEXT


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_of_the_server_is_survived(own_postgres: Postgres, make: Any, mode: str) -> None:
    async with serving(own_postgres.create()) as (store, _):
        await store.commit(make.opening())
        assert (await store.thread("ann", "t1")).last_seq == 1
        store.deadline_s = 0.3
        await trio.to_thread.run_sync(own_postgres.stop, mode)
        for use in (store.commit(make.change(events=make.events(2, 2))), store.thread("ann", "t1"), store.check()):
            with pytest.raises(StorageUnavailable):
                await use
        await trio.to_thread.run_sync(own_postgres.start)
        store.deadline_s = 30.0
        await store.commit(make.change(events=make.events(2, 2)))
        await store.check()
        assert [event.seq for event in await store.events("ann", "t1", 0)] == [1, 2]


async def test_a_server_that_says_nothing_is_not_waited_for(
    own_postgres: Postgres, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes are held: the writer's thread comes back all the same, and storing goes on when they do."""
    monkeypatch.setattr(writer, "LONGEST_S", 0.4)
    async with serving(own_postgres.create()) as (store, ref):
        await store.commit(make.opening())
        store.deadline_s = 0.2
        own_postgres.pause()
        try:
            with pytest.raises(StorageUnavailable):
                await store.commit(make.change(events=make.events(2, 2)))
            failed = await ref.ask(writer.ReadStatistics(), timeout_s=10)  # it has time for others again
            assert failed.failed_groups >= 1
        finally:
            own_postgres.resume()
        store.deadline_s = 30.0
        await store.commit(make.change(events=make.events(2, 2)))
        assert await ref.ask(writer.WriteRequest(probe()), timeout_s=10) is True
        assert [event.seq for event in await store.events("ann", "t1", 0)] == [1, 2]


async def test_a_read_replaces_a_connection_that_has_died(address: str) -> None:
    database = connect_database(address)
    pool = ReadPool(database.reading, 1, 30.0)
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for _ in range(2):
        assert await pool.read(queries.thread, "ann", "t1") is None
        assert execute(address, f"SELECT pg_terminate_backend(pid, 30000) {others}")
    database.close()


def test_partial_indexes_have_the_same_condition_on_both_databases() -> None:
    statements = [
        str(CreateIndex(index).compile(dialect=dialect))
        for dialect in (sqlite.dialect(), postgresql.dialect())
        for table in schema.whole().tables.values()
        for index in sorted(table.indexes, key=lambda index: str(index.name))
    ]
    half = len(statements) // 2
    conditions = [statement.partition(" WHERE ")[2] for statement in statements]
    assert conditions[:half] == conditions[half:]
    assert sum(map(bool, conditions)) > 10
