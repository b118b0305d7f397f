"""Looking at a database file before it is used: whose it is, which schema it has, whether its pages are whole."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from . import schema
from .errors import CannotOpen, Damaged, NotADatabase, SchemaTooNew

FILE_NAME: Final = "understudy.db"
JOURNALS: Final = ("-wal", "-journal")
"""Ends of the names of the files in which SQLite has what is not in the database yet, after a server was killed."""
BUSY_TIMEOUT_MS: Final = 2_000
"""How long to wait for another process's write lock (a backup, a shell); below the deadline of a commit."""
OTHERS: Final = "it has the tables of another program"
LARGEST_CHECKED_BYTES: Final = 64_000_000
"""Up to this size every page is looked at, at start: that takes 1 to 5 ms a megabyte."""


def inspect_database(folder: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> str | None:
    """The schema's revision of the database in a folder, None for none yet; blocks. Changes nothing and takes no lock
    of the folder, so it may be asked beside a running server.

    Raises CannotOpen (also when it cannot be written), NotADatabase, Damaged or SchemaTooNew.
    """
    path = folder / FILE_NAME
    try:
        if not path.exists():
            check_missing(path)
            return None
    except CannotOpen:
        raise
    except OSError as error:
        raise CannotOpen(path, error.strerror or str(error)) from error
    version = look_at(path, busy_timeout_ms)
    try:
        with contextlib.closing(_connect(path, busy_timeout_ms)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise CannotOpen(path, str(error)) from error
    return version


def check_missing(path: Path) -> None:
    """Raise CannotOpen when a file that is not there has left its log behind: a new one would cost what is in it."""
    for end in JOURNALS:
        log = path.with_name(f"{path.name}{end}")
        if log.exists() and log.stat().st_size:
            reason = f"it is missing, and {log.name}, which has the last that was stored in it, is there: put it back"
            raise CannotOpen(path, f"{reason}, or move that away too")


def look_at(path: Path, busy_timeout_ms: int) -> str | None:
    """The revision of a file, None for an empty one; read without Alembic, which is slow to import.

    Raises CannotOpen, NotADatabase, Damaged or SchemaTooNew.
    """
    try:
        connection = _connect(path, busy_timeout_ms)
    except sqlite3.OperationalError as error:
        raise CannotOpen(path, str(error)) from error
    try:
        version = _version(path, connection)
        if version is not None and path.stat().st_size < LARGEST_CHECKED_BYTES:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise Damaged(path, " ".join(str(found).split()))
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
    # mode=rw: never make a file here
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout={busy_timeout_ms}")
    return connection


def _version(path: Path, connection: sqlite3.Connection) -> str | None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    rows = []
    if "alembic_version" in tables:
        columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(alembic_version)")}
        if "version_num" not in columns:
            raise NotADatabase(path, OTHERS)
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    if not rows:
        if tables - {"alembic_version"}:
            raise NotADatabase(path, OTHERS)
        return None
    version = str(rows[0][0])
    if not schema.is_revision(version):
        raise NotADatabase(path, OTHERS)
    if not schema.is_usable(version, _oldest(connection, tables)):
        raise SchemaTooNew(path, version, schema.HEAD)
    return version


def _oldest(connection: sqlite3.Connection, tables: set[str]) -> str | None:
    """Return the oldest revision whose code can use the schema, None if the schema does not say."""
    if schema.compatibility.name not in tables:
        return None
    row = connection.execute("SELECT oldest_revision FROM compatibility").fetchone()
    return None if row is None else str(row[0])
