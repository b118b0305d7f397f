"""Operations on stored data behind the commands migrate, reseal, backup and restore."""

from pathlib import Path
from typing import Final

from attrs import frozen
from sqlalchemy import select

from understudy.app.settings import Settings
from understudy.cli.user_data import audit_entry, commit_beside, open_for_writing, open_read_only, open_text_cipher
from understudy.content.encryption import DecryptionFailed
from understudy.storage import schema
from understudy.storage.backup import BackupError, Copied, back_up, restore
from understudy.storage.database import DriverErrors
from understudy.storage.errors import StorageUnavailable, driver_words
from understudy.storage.raw_texts import replace_sealed, sealed_after
from understudy.storage.schema import HEAD, is_behind
from understudy.storage.sqlite import FILES, inspect_database, open_database

RESEALED: Final = 200
"""Raw texts that are read, encrypted again and stored at a time: a server beside it waits for some milliseconds."""


@frozen
class OperationResult:
    """The result of an operation in a sentence, and whether it was complete."""

    text: str
    complete: bool = True


def migrate_database(settings: Settings) -> OperationResult:
    """Migrate the database to the newest schema. Raises DatabaseUnusable."""
    if settings.on_postgresql:
        from understudy.storage.postgresql import connect_database, inspect_server

        before = inspect_server(settings.database_url)[1]
        connect_database(settings.database_url).close()
    else:
        before = inspect_database(settings.database_folder)
        open_database(settings.database_folder).close()
    if not is_behind(before):
        return OperationResult(f"the database has the newest schema already ({before})")
    return OperationResult(f"the database has schema {HEAD} now; it had {'none' if before is None else before}")


def explain_way_back(settings: Settings) -> OperationResult:
    """Say how to go back to an earlier release, as the schema is never taken back. Raises DatabaseUnusable."""
    with open_read_only(settings) as database, database.reading.connect() as connection:
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        oldest, release = connection.execute(select(schema.compatibility)).one()
    by = "" if release is None else f", migrated by understudy {release}"
    return OperationResult(
        f"the database was left as it is: schema {found}{by}. It is never taken back, as that would delete what was "
        f"stored in the tables and columns that are new. A release that knows schema {oldest} starts on it as it is: "
        "stop this release and start that one. For an older release restore the backup from before the upgrade, "
        "without what was stored since",
        complete=False,
    )


def reseal_raw_texts(settings: Settings) -> OperationResult:
    """Encrypt the raw texts of an accepted raw key again with the raw key, beside servers. Raises StorageError."""
    cipher = open_text_cipher(settings)
    commit_beside(settings, audit_entry("raw_texts.resealed"))
    done = kept = closed = 0
    after = ("", "")
    database = open_for_writing(settings, beside=True)
    try:
        with database.writing.connect() as connection:
            while True:
                with database.reading.connect() as reading:
                    page = sealed_after(reading, after, RESEALED)
                if not page:
                    break
                again = []
                for was in page:
                    try:
                        sealed = cipher.reseal(*was)
                    except DecryptionFailed:
                        closed += 1
                        continue
                    if sealed is None:
                        kept += 1
                    else:
                        again.append((was, sealed))
                if again:
                    with connection.begin():
                        done += sum(replace_sealed(connection, *each) for each in again)
                after = page[-1][:2]
    except DriverErrors.of(database.writing).all as error:
        raise StorageUnavailable(driver_words(error)) from error
    finally:
        database.close()
    text = f"raw texts encrypted again with raw_key: {done}; that were so before: {kept}"
    if not closed:
        return OperationResult(text)
    return OperationResult(f"{text}; that none of the keys decrypts, and which are left as they are: {closed}", False)


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
        raise BackupError(
            "the database is PostgreSQL's: pg_dump and pg_restore copy it, and the uploaded files with it"
        )


def _describe_copy(copied: Copied, where: Path) -> OperationResult:
    said = f"{where.absolute()} has the database ({copied.database_bytes / 1e6:.1f} MB) and {copied.files} files"
    if not copied.damaged:
        return OperationResult(said)
    return OperationResult(f"{said}; missing or damaged, and so before: {', '.join(copied.damaged)}", complete=False)
