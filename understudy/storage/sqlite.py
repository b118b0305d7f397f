"""The SQLite database of a data folder: opened once at start, migrated when it is older than the code.

Write-ahead log with `synchronous=FULL`: what a commit has returned from survives a power cut. All transactions of
the writing engine begin with the write lock, so none fails half way for want of it.

A data folder has one server at a time: a second one would end the runs of the first as left over from a crash.
"""

import contextlib
import logging
import os
import sqlite3
from pathlib import Path
from typing import Any, Final

import msgspec
from attrs import field, frozen
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from understudy.storage.private_files import keep_private

from . import schema
from .errors import CannotOpen, StorageUnavailable, driver_words
from .inspection import BUSY_TIMEOUT_MS, check_missing, look_at
from .inspection import FILE_NAME as FILE_NAME
from .lock import LOCK_NAME, WAIT_S, FolderLock, lock_folder

log = logging.getLogger(__name__)
READERS: Final = 4
"""How many reads run at a time: more only queue for the interpreter's lock."""
FILES: Final = "files"
"""The folder of uploads, where the database is in the data folder."""
REMOVED: Final = "the database file was removed or replaced"
FORGET_MS: Final = 250
"""How long the writer may be kept waiting while the log beside the file is emptied."""
WRITING: Final = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON")
"""What is removed is overwritten: a page that is given up has its zeros on the disk with the same commit."""
READING: Final = ("query_only=ON",)


@frozen
class SqliteDatabase:
    """The two ways to the database: `writing` is the writer's alone, `reading` is a pool that cannot write.

    `identity` is the device and inode of the file that was opened; `lock` keeps other servers out of the folder.
    """

    path: Path
    writing: Engine = field(repr=False)
    reading: Engine = field(repr=False)
    identity: tuple[int, int] = field(repr=False)
    lock: FolderLock = field(repr=False)

    @property
    def where(self) -> str:
        """The path of the file."""
        return str(self.path)

    def check(self) -> None:
        """Raise StorageUnavailable when the path no longer leads to the file that was opened; takes microseconds.

        What is written to a file that has no name any more is gone with the process.
        """
        try:
            found = os.stat(self.path)
        except FileNotFoundError as error:
            raise StorageUnavailable(REMOVED) from error
        except OSError as error:
            raise StorageUnavailable(f"the database file cannot be reached: {error.strerror}") from error
        if (found.st_dev, found.st_ino) != self.identity:
            raise StorageUnavailable(REMOVED)

    def interrupt(self, connection: Any) -> None:
        """End the statement that a connection of sqlite3 is at."""
        connection.interrupt()

    def forget(self) -> None:
        """Empty the log beside the file, which has what the pages held before; left for another time if it is read."""
        with contextlib.suppress(sqlite3.Error):
            address = f"{self.path.as_uri()}?mode=rw"
            with contextlib.closing(sqlite3.connect(address, uri=True, timeout=FORGET_MS / 1000)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the pooled connections and let go of the folder. The writer closes its own."""
        self.reading.dispose()
        self.writing.dispose()
        self.lock.release()


def open_database(folder: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS, wait_s: float = WAIT_S) -> SqliteDatabase:
    """Open the database of a data folder, making both when missing; blocks, for as long as a migration takes.

    Raises AlreadyOpen when another server uses the folder and does not end within `wait_s`, CannotOpen (no
    permission, read-only, not a folder, locked), NotADatabase, Damaged or SchemaTooNew; in each case the database
    was not changed. `busy_timeout_ms` is how long any transaction waits for another process's write lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        keep_private(folder, *(folder / f"{FILE_NAME}{each}" for each in ("", "-wal", "-shm")))
        beside = {child.name for child in folder.iterdir()}
        lock = lock_folder(folder, wait_s=wait_s)
    except OSError as error:
        raise CannotOpen(folder, error.strerror or str(error)) from error
    try:
        return _open(folder / FILE_NAME, beside - {FILE_NAME}, lock, busy_timeout_ms)
    except BaseException:
        lock.release()
        raise


def _open(path: Path, beside: set[str], lock: FolderLock, busy_timeout_ms: int) -> SqliteDatabase:
    try:
        _make(path, beside)
        version = look_at(path, busy_timeout_ms)
    except CannotOpen:
        raise
    except OSError as error:
        raise CannotOpen(path, error.strerror or str(error)) from error
    writing, reading = (_engine(path, busy_timeout_ms, writing=way) for way in (True, False))
    try:
        if schema.is_behind(version):
            _upgrade(writing)
        else:
            with writing.begin():
                pass  # a file that cannot be written is found now, not at the first message
            if version != schema.HEAD:
                log.warning("storage.newer_schema", extra={"found": version, "known": schema.HEAD})
        found = os.stat(path)
        return SqliteDatabase(path.absolute(), writing, reading, (found.st_dev, found.st_ino), lock)
    except BaseException as error:
        reading.dispose()
        writing.dispose()
        if isinstance(error, DatabaseError | sqlite3.Error):
            raise CannotOpen(path, driver_words(error)) from error
        raise


def _make(path: Path, beside: set[str]) -> None:
    """Make the file when it is missing; a new database in a folder that was used before is worth a warning.

    `beside` names what else was in the folder before this start.
    """
    missing = not path.exists()
    if missing:
        check_missing(path)
        # Only while nobody has it open: closing a descriptor would drop the locks of SQLite in this process.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        beside = beside & {LOCK_NAME, FILES, f"{FILE_NAME}-wal"}  # a first start may have made others by now
    if beside and path.is_file() and not path.stat().st_size:
        extra = {"path": str(path), "reason": "missing" if missing else "empty", "beside": sorted(beside)[:10]}
        log.warning("storage.new_database", extra=extra)


def _upgrade(engine: Engine) -> None:
    from .migrations import upgrade  # only now: Alembic is slow to import, and most starts do not need it

    with engine.begin() as connection:
        upgrade(connection)


def reading_engine(path: Path, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Engine:
    """A pool of connections to a database file that cannot write."""
    return _engine(path, busy_timeout_ms, writing=False)


def _engine(path: Path, busy_timeout_ms: int, *, writing: bool) -> Engine:
    # mode=rw: a connection made after the file was removed must not make an empty one in its place
    url = URL.create("sqlite+pysqlite", database=path.absolute().as_uri(), query={"mode": "rw", "uri": "true"})
    options: dict[str, Any] = {
        "connect_args": {"isolation_level": None, "check_same_thread": False},
        "json_serializer": lambda value: msgspec.json.encode(value).decode(),
        "json_deserializer": msgspec.json.decode,
    }
    if writing:
        engine = create_engine(url, poolclass=NullPool, **options)
    else:
        engine = create_engine(url, pool_size=READERS + 2, max_overflow=0, **options)

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
