"""The operations of `understudy migrate`, and how operations on stored data are run and reported."""

import sys
from collections.abc import Callable

import click
from attrs import frozen
from sqlalchemy import select

from understudy.app.settings import Settings
from understudy.cli.options import storage_errors_shown
from understudy.cli.stored_data import open_read_only
from understudy.storage import schema
from understudy.storage.schema import HEAD, is_behind
from understudy.storage.sqlite import inspect_database, open_database


@frozen
class OperationResult:
    """The result of an operation as a sentence, and whether the operation was complete."""

    text: str
    complete: bool = True


def migrate_database(settings: Settings) -> OperationResult:
    """Migrate the database to the newest schema. Raises DatabaseUnusable."""
    if settings.on_postgresql:
        from understudy.storage.postgresql import connect_database, inspect_server

        old = inspect_server(settings.database_url)[1]
        connect_database(settings.database_url).close()
    else:
        old = inspect_database(settings.database_folder)
        open_database(settings.database_folder).close()
    if not is_behind(old):
        return OperationResult(f"the database has the newest schema already ({old})")
    return OperationResult(f"the database has schema {HEAD} now; it had {'none' if old is None else old}")


def explain_way_back(settings: Settings) -> OperationResult:
    """Explain how to go back to an earlier release; schemas are never downgraded. Raises DatabaseUnusable."""
    with open_read_only(settings) as database, database.reading.connect() as connection:
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        oldest, release = connection.execute(select(schema.compatibility)).one()
    by = "" if release is None else f", migrated by understudy {release}"
    return OperationResult(
        f"the database was left as it is: schema {version}{by}. It is never taken back, as that would delete what was "
        f"stored in the tables and columns that are new. A release that knows schema {oldest} starts on it as it is: "
        "stop this release and start that one. For an older release restore the backup from before the upgrade, "
        "without what was stored since",
        complete=False,
    )


def run_operation(operation: Callable[..., OperationResult], *arguments: object) -> None:
    """Run an operation and print its result. Exit with 1 if it failed or was incomplete."""
    with storage_errors_shown():
        result = operation(*arguments)
    click.echo(result.text)
    sys.exit(0 if result.complete else 1)
