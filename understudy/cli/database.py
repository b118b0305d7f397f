"""Operations on stored data behind the commands migrate, backup and restore."""

from pathlib import Path

from attrs import frozen
from sqlalchemy import select

from understudy.app.settings import Settings
from understudy.cli.stored_data import open_read_only
from understudy.storage import schema
from understudy.storage.backup import BackupError, Copied, back_up, restore
from understudy.storage.schema import HEAD, is_behind
from understudy.storage.sqlite import FILES, inspect_database, open_database


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
