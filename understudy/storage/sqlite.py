"""The SQLite database of a data folder: opened once at start, migrated when it is older than the code.

Write-ahead log with `synchronous=FULL`: what a commit has returned from survives a power cut. All transactions of
the writing engine begin with the write lock, so none fails half way for want of it.
"""

import sqlite3
from pathlib import Path
from typing import Any, Final

import msgspec
from attrs import field, frozen
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from . import schema
from .errors import CannotOpen, NotADatabase, SchemaTooNew, driver_words

FILE_NAME: Final = "understudy.db"
READERS: Final = 4
"""How many reads run at a time: more only queue for the interpreter's lock."""
BUSY_TIMEOUT_MS: Final = 2_000
"""How long to wait for another process's write lock (a backup, a shell); below the deadline of a commit."""

WRITING: Final = ("journal_mode=WAL", "synchronous=FULL")
READING: Final = ("query_only=ON",)


@frozen
class Database:
    """The two ways to the database: `writing` is the writer's alone, `reading` is a pool that cannot write."""

    path: Path
    writing: Engine = field(repr=False)
    reading: Engine = field(repr=False)

    def close(self) -> None:
        """Close the pooled connections. The writer closes its own."""
        self.reading.dispose()
        self.writing.dispose()


def open_database(folder: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Database:
    """Open the database of a data folder, making both when missing; blocks, for as long as a migration takes.

    Raises CannotOpen (no permission, read-only, not a folder, locked), NotADatabase or SchemaTooNew; in each case
    nothing was changed. `busy_timeout_ms` is how long any transaction waits for another process's write lock.
    """
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        version = _version(path, busy_timeout_ms)
    except OSError as error:
        raise CannotOpen(folder, error.strerror or str(error)) from error
    database = Database(
        path, _engine(path, busy_timeout_ms, writing=True), _engine(path, busy_timeout_ms, writing=False)
    )
    try:
        if version == schema.HEAD:
            with database.writing.begin():
                pass  # a file that cannot be written is found now, not at the first message
        else:
            _upgrade(database.writing)
    except (DatabaseError, sqlite3.Error) as error:
        database.close()
        raise CannotOpen(path, driver_words(error)) from error
    except BaseException:
        database.close()
        raise
    return database


def _version(path: Path, busy_timeout_ms: int) -> str | None:
    """The revision of an existing file, None for a new one; read without Alembic, which is slow to import."""
    if not path.exists():
        return None
    try:
        # mode=rw: never make a file here
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    except sqlite3.OperationalError as error:
        raise CannotOpen(path, str(error)) from error
    try:
        connection.execute(f"PRAGMA busy_timeout={busy_timeout_ms}")
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" in tables:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        else:
            rows = []
    except sqlite3.OperationalError as error:
        raise CannotOpen(path, str(error)) from error
    except sqlite3.DatabaseError as error:
        raise NotADatabase(path, str(error)) from error
    finally:
        connection.close()
    if not rows:
        if tables - {"alembic_version"}:
            raise NotADatabase(path, "it has the tables of another program")
        return None
    version = str(rows[0][0])
    if version not in schema.REVISIONS:
        raise SchemaTooNew(path, version, schema.HEAD)
    return version


def _upgrade(engine: Engine) -> None:
    from .migrations import upgrade  # only now: Alembic is slow to import, and most starts do not need it

    with engine.begin() as connection:
        upgrade(connection)


def _engine(path: Path, busy_timeout_ms: int, *, writing: bool) -> Engine:
    url = URL.create("sqlite+pysqlite", database=str(path))
    options: dict[str, Any] = {
        "connect_args": {"isolation_level": None, "check_same_thread": False},
        "json_serializer": lambda value: msgspec.json.encode(value).decode(),
        "json_deserializer": msgspec.json.decode,
    }
    if writing:
        engine = create_engine(url, poolclass=NullPool, **options)
    else:
        engine = create_engine(url, pool_size=READERS, max_overflow=0, **options)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.create_function("lower", 1, _lower, deterministic=True)
        for pragma in (f"busy_timeout={busy_timeout_ms}", "foreign_keys=ON", *(WRITING if writing else READING)):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _lower(value: Any) -> Any:
    """SQLite's own `lower` knows ASCII only; search should find ÄRGER by ärger."""
    return value.lower() if isinstance(value, str) else value
