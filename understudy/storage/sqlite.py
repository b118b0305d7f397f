"""The SQLite database of a data folder: opened once at start, and migrated if it is older than the code.

1. Write-ahead log with `synchronous=FULL`: a committed transaction survives a power cut.
2. All transactions of the writing engine begin with the write lock, so none fails half way for lack of it.
3. A data folder has one server at a time: a second one would take the first one's runs for leftovers of a crash.
"""

import contextlib
import logging
import os
import sqlite3
from pathlib import Path
from typing import Any, Final

import msgspec
from attrs import field, frozen
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from . import schema
from .data_folder import LOCK_NAME, WAIT_S, FolderLock, keep_private, lock_folder
from .database import BEFORE_RELEASES, NO_DATABASE, OLDER_SCHEMA, ReadDatabase, close_engine
from .errors import CannotOpen, Damaged, NotADatabase, SchemaTooNew, StorageUnavailable, driver_words
from .prepared import Prepared

log = logging.getLogger(__name__)
FILE_NAME: Final = "understudy.db"
JOURNALS: Final = ("-wal", "-journal")
"""Suffixes of the files in which SQLite keeps committed changes that are not in the database file yet."""
BUSY_TIMEOUT_MS: Final = 2_000
"""How long to wait for another process's write lock (a backup, a shell); below the deadline of a commit."""
FOREIGN: Final = "it has the tables of another program"
LARGEST_CHECKED_BYTES: Final = 64_000_000
"""Up to this size every page is checked at start, at 1 to 5 ms per megabyte."""
READERS: Final = 4
"""Limit of concurrent reads: more would only queue for the interpreter's lock."""
FILES: Final = "files"
"""Name of the folder of uploads in the data folder."""
REMOVED: Final = "the database file was removed or replaced"
FORGET_MS: Final = 250
"""How long purging the write-ahead log may delay the writer."""
WRITING: Final = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON")
"""`secure_delete`: deleted rows are overwritten with zeros by the same commit."""
READING: Final = ("query_only=ON",)


@frozen
class SqliteDatabase:
    """The two ways to the database: `writing` is the writer's alone, `reading` is a pool that cannot write.

    `identity` is the device and inode of the opened file; `lock` excludes other servers from the folder.
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
        """Raise StorageUnavailable if the path no longer leads to the opened file; takes microseconds.

        Data written to a deleted file is lost when the process ends.
        """
        try:
            status = os.stat(self.path)
        except FileNotFoundError as error:
            raise StorageUnavailable(REMOVED) from error
        except OSError as error:
            raise StorageUnavailable(f"the database file cannot be reached: {error.strerror}") from error
        if (status.st_dev, status.st_ino) != self.identity:
            raise StorageUnavailable(REMOVED)

    def stamp(self) -> tuple[int, int] | None:
        """Return the time and size of the write-ahead log."""
        try:
            status = os.stat(f"{self.path}-wal")
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size

    def interrupt(self, connection: Any) -> None:
        """Interrupt the running statement of a connection of sqlite3."""
        connection.interrupt()

    def forget(self) -> None:
        """Truncate the write-ahead log, which holds earlier contents of pages; skipped while it is being read."""
        with contextlib.suppress(sqlite3.Error):
            address = f"{self.path.as_uri()}?mode=rw"
            with contextlib.closing(sqlite3.connect(address, uri=True, timeout=FORGET_MS / 1000)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the pooled connections and release the folder. The writer closes its own connection."""
        close_engine(self.reading)
        close_engine(self.writing)
        self.lock.release()


def open_database(
    folder: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS, wait_s: float = WAIT_S, locked: bool = False
) -> SqliteDatabase:
    """Open the database of a data folder; create both if missing. Blocks for as long as a migration takes.

    Raises AlreadyOpen if another server uses the folder and does not end within `wait_s`, CannotOpen (no permission,
    read-only, not a folder, locked), NotADatabase, Damaged or SchemaTooNew; in each case the database was not changed.
    `busy_timeout_ms` is how long any transaction waits for another process's write lock. `locked`: the server
    that has the folder goes on beside this process.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        keep_private(folder, *(folder / f"{FILE_NAME}{suffix}" for suffix in ("", "-wal", "-shm")))
        beside = {child.name for child in folder.iterdir()}
        lock = FolderLock(-1) if locked else lock_folder(folder, wait_s=wait_s)
    except OSError as error:
        raise CannotOpen(folder, error.strerror or str(error)) from error
    try:
        return _open(folder / FILE_NAME, beside - {FILE_NAME}, lock, busy_timeout_ms)
    except BaseException:
        lock.release()
        raise


def _open(path: Path, beside: set[str], lock: FolderLock, busy_timeout_ms: int) -> SqliteDatabase:
    try:
        _create(path, beside)
        version = read_revision(path, busy_timeout_ms)
    except CannotOpen:
        raise
    except OSError as error:
        raise CannotOpen(path, error.strerror or str(error)) from error
    writing, reading = (_engine(path, busy_timeout_ms, writing=writable) for writable in (True, False))
    try:
        with writing.begin() as connection:  # a file that cannot be written is detected now, not at the first message
            if schema.is_behind(version):
                from .migrations import upgrade  # Alembic is slow to import, and most starts do not need it

                upgrade(connection)
            for table in schema.of_others():
                table.create(connection, checkfirst=True)
        if not schema.is_behind(version) and version != schema.HEAD:
            log.warning("storage.newer_schema", extra={"found": version, "known": schema.HEAD})
        status = os.stat(path)
        return SqliteDatabase(path.absolute(), writing, reading, (status.st_dev, status.st_ino), lock)
    except BaseException as error:
        reading.dispose()
        writing.dispose()
        if isinstance(error, DatabaseError | sqlite3.Error):
            raise CannotOpen(path, driver_words(error)) from error
        raise


def _create(path: Path, beside: set[str]) -> None:
    """Create the file if it is missing; log a warning for a new database in a folder that was used before.

    `beside` are the names of the other files that the folder had before this start.
    """
    missing = not path.exists()
    if missing:
        _check_missing(path)
        # Only while no connection is open: closing a descriptor would drop the locks of SQLite in this process.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        beside = beside & {LOCK_NAME, FILES, f"{FILE_NAME}-wal"}  # a concurrent first start may have created others
    if beside and path.is_file() and not path.stat().st_size:
        extra = {"path": str(path), "reason": "missing" if missing else "empty", "beside": sorted(beside)[:10]}
        log.warning("storage.new_database", extra=extra)


def inspect_database(folder: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> str | None:
    """Return the revision of the database in a folder, None if there is no database; blocks.

    Changes nothing and does not lock the folder, so a server may be running. Raises CannotOpen (also if the database
    cannot be written), NotADatabase, Damaged or SchemaTooNew.
    """
    path = folder / FILE_NAME
    try:
        if not path.exists():
            _check_missing(path)
            return None
    except CannotOpen:
        raise
    except OSError as error:
        raise CannotOpen(path, error.strerror or str(error)) from error
    version = read_revision(path, busy_timeout_ms)
    try:
        with contextlib.closing(_connect(path, busy_timeout_ms)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise CannotOpen(path, str(error)) from error
    return version


def read_folder(folder: Path) -> ReadDatabase:
    """Open the SQLite database of a data folder for reading; blocks. A server may be running.

    Raises CannotOpen (also if there is no database, or its schema is older), NotADatabase, Damaged or SchemaTooNew.
    """
    path = folder / FILE_NAME
    revision = read_revision(path, BUSY_TIMEOUT_MS) if path.is_file() else None
    if schema.is_behind(revision):
        raise CannotOpen(path, NO_DATABASE if revision is None else OLDER_SCHEMA)
    return ReadDatabase(_engine(path, BUSY_TIMEOUT_MS, writing=False))


def _check_missing(path: Path) -> None:
    """Raise CannotOpen if a missing database has left its log: a new database would destroy the data in the log."""
    for end in JOURNALS:
        log = path.with_name(f"{path.name}{end}")
        if log.exists() and log.stat().st_size:
            reason = f"it is missing, and {log.name}, which has the last that was stored in it, is there: put it back"
            raise CannotOpen(path, f"{reason}, or move that away too")


def read_revision(path: Path, busy_timeout_ms: int) -> str | None:
    """Return the revision of a database file, None for an empty one; without Alembic, which is slow to import.

    Raises CannotOpen, NotADatabase, Damaged or SchemaTooNew.
    """
    try:
        connection = _connect(path, busy_timeout_ms)
    except sqlite3.OperationalError as error:
        raise CannotOpen(path, str(error)) from error
    try:
        version = _version(path, connection)
        if version is not None and path.stat().st_size < LARGEST_CHECKED_BYTES:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise Damaged(path, " ".join(str(verdict).split()))
    except sqlite3.OperationalError as error:
        raise CannotOpen(path, str(error)) from error
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
            raise Damaged(path, str(error)) from error
        raise NotADatabase(path, str(error)) from error
    finally:
        connection.close()
    return version


def _connect(path: Path, busy_timeout_ms: int) -> sqlite3.Connection:
    # mode=rw: never create a file
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout={busy_timeout_ms}")
    return connection


def _version(path: Path, connection: sqlite3.Connection) -> str | None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    rows = []
    if "alembic_version" in tables:
        columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(alembic_version)")}
        if "version_num" not in columns:
            raise NotADatabase(path, FOREIGN)
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    if not rows:
        if tables - {"alembic_version"}:
            raise NotADatabase(path, FOREIGN)
        return None
    version = str(rows[0][0])
    if not schema.is_revision(version):
        raise NotADatabase(path, FOREIGN)
    if version < schema.REVISIONS[0]:
        raise CannotOpen(path, BEFORE_RELEASES.format(found=version))
    written: dict[str, Any] = {}
    if schema.compatibility.name in tables:
        found = connection.execute("SELECT * FROM compatibility")
        row = found.fetchone()
        written = {} if row is None else {name: value for (name, *_), value in zip(found.description, row, strict=True)}
    oldest = written.get("oldest_revision")
    if not schema.is_usable(version, oldest):
        raise SchemaTooNew(path, version, schema.HEAD, oldest, written.get("release"))
    return version


def _engine(path: Path, busy_timeout_ms: int, *, writing: bool) -> Engine:
    # mode=rw: a connection that is opened after the file was removed must not create an empty file in its place
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

    opening = Prepared(text("BEGIN IMMEDIATE" if writing else "BEGIN"))

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        opening.run(connection, [{}])

    return engine


def _lower(value: Any) -> Any:
    """Lower-case all letters; SQLite's own `lower` does so for ASCII only."""
    return value.lower() if isinstance(value, str) else value
