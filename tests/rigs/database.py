"""A migrated database to start from, and rows that are like real ones."""

import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from attrs import evolve
from sqlalchemy import Connection

from actors import ActorSystem, ChildSpec
from tests.servers.postgresql import Postgres
from understudy.storage import queries, schema
from understudy.storage.changes import Change
from understudy.storage.database import Database
from understudy.storage.postgresql import connect_database
from understudy.storage.records import File, LoggedEvent, Message, RunEnd, RunRecord, StepRecord, Thread
from understudy.storage.sqlite import open_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter, commit_group


class Make:
    """Builds rows with everything filled in; keyword arguments replace what a test is about."""

    def thread(self, owner: str = "ann", thread_id: str = "t1", **fields: Any) -> Thread:
        thread = Thread(owner, thread_id, "A title", "guide", None, 100.0, 100.0)
        return evolve(thread, **fields)

    def message(self, owner: str = "ann", thread_id: str = "t1", message_id: str = "m1", **fields: Any) -> Message:
        message = Message(owner, message_id, thread_id, "r1", "user", "Hello", "guide", None, "accepted", 101.0)
        return evolve(message, **fields)

    def run(self, owner: str = "ann", thread_id: str = "t1", run_id: str = "r1", **fields: Any) -> RunRecord:
        run = RunRecord(run_id, owner, thread_id, "m1", "guide_1", "guide", None, "running", 101.0)
        return evolve(run, **fields)

    def step(self, number: int, run_id: str = "r1", **fields: Any) -> StepRecord:
        step = StepRecord(run_id, number, "tool", "sum", f"c{number}", {"a": [1, 2]}, {"sum": 3}, "ok", 102.0, 103.0)
        return evolve(step, **fields)

    def file(self, owner: str = "ann", file_id: str = "0" * 32, **fields: Any) -> File:
        return evolve(File(owner, file_id, "notes.txt", "text/plain", 5, "ab" * 32, 104.0), **fields)

    def events(self, first: int, last: int, run_id: str | None = "r1", note: str = "") -> tuple[LoggedEvent, ...]:
        numbers = range(first, last + 1)
        return tuple(
            LoggedEvent(n, "agent_thinking", run_id, f'{{"seq":{n},"note":"{note}"}}'.encode()) for n in numbers
        )

    def change(self, owner: str = "ann", thread_id: str = "t1", **parts: Any) -> Change:
        return Change(owner, thread_id, **parts)

    def opening(self, owner: str = "ann", thread_id: str = "t1", run_id: str = "r1", **fields: Any) -> Change:
        """What a conversation stores when it accepts its first message."""
        return Change(
            owner,
            thread_id,
            events=self.events(1, 1, run_id),
            thread=self.thread(owner, thread_id, **fields),
            messages=(self.message(owner, thread_id, f"m-{thread_id}", run_id=run_id),),
            run=self.run(owner, thread_id, run_id, message_id=f"m-{thread_id}"),
        )

    def ending(self, run_id: str = "r1", status: str = "success", ended_at: float = 110.0) -> RunEnd:
        return RunEnd(run_id, status, ended_at)


@pytest.fixture
def make() -> Make:
    """Return a builder of rows."""
    return Make()


@pytest.fixture
def folder(migrated: Path, tmp_path: Path) -> Path:
    """A data folder of the test's own, at the newest schema."""
    return Path(shutil.copytree(migrated, tmp_path / "data"))


@pytest.fixture
def migrated_before(migrated: Path, tmp_path: Path) -> None:
    """The database is there before the loop runs: to migrate one holds the loop for longer than tests may."""
    shutil.copytree(migrated, tmp_path, dirs_exist_ok=True)


def differences(connection: Connection) -> list[Any]:
    """Return the differences between the tables and schema.py, except for the full-text index."""

    def of_ours(item: Any, name: str | None, *_: Any) -> bool:
        return not (name or "").startswith("words_index")

    context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": of_ours})
    changes: list[Any] = compare_metadata(context, schema.whole())
    return changes


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on both databases, unless it uses the file of SQLite."""
    names = set(metafunc.fixturenames)
    if "database" in names and not names & {"folder", "tmp_path", "on_sqlite"}:
        metafunc.parametrize("kind", ["sqlite", "postgresql"])


@pytest.fixture
def kind() -> str:
    """Which database a test runs on."""
    return "sqlite"


@pytest.fixture
def on_sqlite() -> None:
    """Restrict a test to SQLite."""


@pytest.fixture
def address(postgres: Postgres, template: str) -> str:
    """The address of a database of PostgreSQL at the newest schema."""
    return postgres.create(template)


@pytest.fixture
def database(kind: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database at the newest schema."""
    if kind == "sqlite":
        database: Database = open_database(request.getfixturevalue("folder"))
    else:
        server: Postgres = request.getfixturevalue("postgres")
        database = connect_database(server.create(request.getfixturevalue("template")))
    yield database
    database.close()


@contextlib.asynccontextmanager
async def opened(database: Database, deadline_s: float = 5.0) -> AsyncIterator[Store]:
    """A store whose writer lives in a system of its own, for a minute at most."""
    with trio.fail_after(60):
        async with ActorSystem("test") as system:
            writer = await system.spawn(ChildSpec("writer", lambda: StoreWriter(database)))
            yield Store(database, lambda: writer, deadline_s=deadline_s)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    """A store of the database."""
    async with opened(database) as store:
        yield store


class Book:
    """A database with the outcome of each work at hand."""

    def __init__(self, database: Database) -> None:
        self.connection = database.writing.connect()
        self.reading = database.reading

    def write(self, *works: Any) -> list[Any]:
        return commit_group(self.connection, works)

    def read(self, query: Any, *args: Any) -> Any:
        with self.reading.begin() as connection:
            return query(connection, *args)

    def seqs(self, owner: str = "ann", thread_id: str = "t1") -> list[int]:
        return [event.seq for event in self.read(queries.events, owner, thread_id, 0, 1000)]


@pytest.fixture
def book(database: Database) -> Iterator[Book]:
    """A book of the database."""
    book = Book(database)
    yield book
    book.connection.close()
