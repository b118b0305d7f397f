"""Backs up the database and the uploaded files of a running server, and restores them into an empty folder.

1. SQLite's online backup copies the state of one moment. A file is stored before its row, so every file that this state
   names can be copied afterwards.
2. A copy is made under another name and renamed when it is whole, so after an error no folder looks like a backup, and
   no data folder looks restored.
"""

import contextlib
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from understudy.app.settings import Settings
from understudy.cli.database import OperationResult
from understudy.storage.data_folder import PART, lock_folder, sync
from understudy.storage.errors import CannotOpen, StorageError
from understudy.storage.sqlite import BUSY_TIMEOUT_MS, FILE_NAME, FILES, JOURNALS, read_revision

CHUNK_BYTES: Final = 1 << 20


class BackupError(StorageError, OSError):
    """A backup cannot be made or restored. The text is for the operator; nothing was changed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


@frozen
class Copied:
    """The contents of a backup: `files` is their number, `damaged` the ids of those missing or unlike their upload."""

    database_bytes: int
    files: int
    damaged: tuple[str, ...] = ()


def back_up(database_folder: Path, files_folder: Path, target: Path) -> Copied:
    """Copy the database and its files into a new folder; blocks. A server may be running.

    Raises BackupError; CannotOpen, NotADatabase, Damaged or SchemaTooNew if the database cannot be read.
    """
    source = database_folder / FILE_NAME
    if not source.is_file():
        raise BackupError(f"there is no database in {database_folder.absolute()}")
    read_revision(source, BUSY_TIMEOUT_MS)
    with _new_folder(target) as folder:
        copy = folder / FILE_NAME
        _copy_database(source, copy)
        read_revision(copy, BUSY_TIMEOUT_MS)  # checks every page, up to a size limit
        return _with_files(copy, files_folder, folder / FILES)


def restore(backup: Path, database_folder: Path, files_folder: Path) -> Copied:
    """Restore a backup into a data folder without a database; blocks. The next start migrates an older schema.

    Raises BackupError; AlreadyOpen if a server uses the folder; CannotOpen, NotADatabase, Damaged or SchemaTooNew if
    the database of the backup cannot be read.
    """
    source = backup / FILE_NAME
    if not source.is_file():
        raise BackupError(f"{backup.absolute()} is no backup: it has no {FILE_NAME}")
    read_revision(source, BUSY_TIMEOUT_MS)
    try:
        database_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = lock_folder(database_folder)
    except OSError as error:
        raise CannotOpen(database_folder, error.strerror or str(error)) from error
    try:
        database, part = database_folder / FILE_NAME, database_folder / f"{FILE_NAME}{PART}"
        # SQLite would apply the journals of a killed server to the restored database.
        for path in (database, *(database.with_name(f"{FILE_NAME}{end}") for end in JOURNALS)):
            if path.exists():
                raise BackupError(f"{path.absolute()} is there already: move it away, or name another folder")
        with _as_backup_error(database_folder):
            for leftover in (part, *(part.with_name(f"{part.name}{end}") for end in JOURNALS)):
                leftover.unlink(missing_ok=True)  # an interrupted restore has left it
            _copy_database(source, part)
            result = _with_files(part, backup / FILES, files_folder)
            part.rename(database)
            sync(database_folder)
        return result
    finally:
        lock.release()


@contextlib.contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target`. Rename it to `target` after the block, or remove it after an error."""
    if target.exists():
        raise BackupError(f"{target.absolute()} is there already: a backup is a folder of its own")
    part = target.with_name(f"{target.name}{PART}")
    if part.exists():
        raise BackupError(f"{part.absolute()} is there, of a backup that was cut off or is under way: remove it first")
    with _as_backup_error(target):
        part.mkdir(parents=True, mode=0o700)
        try:
            yield part
            part.rename(target)
            sync(target.parent)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


@contextlib.contextmanager
def _as_backup_error(target: Path) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except sqlite3.Error as error:
        raise BackupError(f"cannot copy to {target.absolute()}: {error}") from error
    except OSError as error:
        raise BackupError(f"cannot copy to {target.absolute()}: {error.strerror or error}") from error


def _copy_database(source: Path, target: Path) -> None:
    """Copy all pages in one step: with a write-ahead log the copy is one snapshot and blocks no writer."""
    with contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as reading:
        reading.execute("PRAGMA query_only=ON")
        with contextlib.closing(sqlite3.connect(target)) as writing:
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode=DELETE").fetchall()  # one file, without journals
    sync(target)


def _with_files(database: Path, source: Path, target: Path) -> Copied:
    target.mkdir(mode=0o700, exist_ok=True)
    with contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT id, sha256 FROM files ORDER BY id").fetchall()
    damaged = [name for name, digest in rows if not _copy_file(source / name, target / name, digest)]
    sync(target)
    return Copied(database.stat().st_size, len(rows) - len(damaged), tuple(damaged))


def _copy_file(source: Path, target: Path, digest: str) -> bool:
    """Copy a file. Return False if it is missing or differs from the upload."""
    hashed = hashlib.sha256()
    try:
        reading = source.open("rb")
    except FileNotFoundError:
        return False
    with reading, target.open("wb") as writing:
        while chunk := reading.read(CHUNK_BYTES):
            hashed.update(chunk)
            writing.write(chunk)
        writing.flush()
        os.fsync(writing.fileno())
    return hashed.hexdigest() == digest


def back_up_data(settings: Settings, target: Path) -> OperationResult:
    """Copy the database and the files to a new folder. Raises StorageError."""
    _only_sqlite(settings)
    copied = back_up(settings.database_folder, settings.data_dir / FILES, target)
    return _describe_copy(copied, target)


def restore_backup(settings: Settings, source: Path) -> OperationResult:
    """Restore a backup into the data folder. Raises StorageError."""
    _only_sqlite(settings)
    copied = restore(source, settings.database_folder, settings.data_dir / FILES)
    return _describe_copy(copied, settings.data_dir)


def _only_sqlite(settings: Settings) -> None:
    if settings.on_postgresql:
        raise BackupError("the database is PostgreSQL's: pg_dump and pg_restore copy it, with the uploaded files")


def _describe_copy(copied: Copied, folder: Path) -> OperationResult:
    files = f"{copied.files} file{'' if copied.files == 1 else 's'}"
    report = f"{folder.absolute()} has the database ({copied.database_bytes / 1e6:.1f} MB) and {files}"
    if not copied.damaged:
        return OperationResult(report)
    report = f"{report}; already missing or damaged in the source: {', '.join(copied.damaged)}"
    return OperationResult(report, complete=False)
