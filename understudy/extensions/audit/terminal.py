"""The command `understudy audit`: print the audit log as JSON Lines, from the database, also while a server runs."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from understudy.cli.options import DATA_DIR, DATABASE_URL, load_settings, storage_errors_shown

if TYPE_CHECKING:
    from understudy.app.settings import Settings
    from understudy.extensions.audit.storage import AuditFilter, StoredEntry

AUDIT_PAGE: Final = 500
"""Entries per page of a read."""
_TIMES = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z")


@click.command()
@click.option("--user", help="Only entries made by or about this user.")
@click.option("--tenant", help="Only entries that concern this tenant.")
@click.option("--action", help="Only entries of this action, such as user.erased.")
@click.option("--since", type=click.DateTime(_TIMES), help="Only entries from this time on, in UTC.")
@click.option("--until", type=click.DateTime(_TIMES), help="Only entries before this time, in UTC.")
@DATA_DIR
@DATABASE_URL
def audit(
    user: str | None,
    tenant: str | None,
    action: str | None,
    since: datetime | None,
    until: datetime | None,
    data_dir: Path | None,
    database_url: str | None,
) -> None:
    """Print the audit log, newest first: a JSON object per line with who did what to whom, and when."""
    import msgspec

    from understudy.extensions.audit.storage import AuditFilter, entry_of
    from understudy.storage.owners import owner_of

    if action is not None and action not in (actions := every_action()):
        raise click.UsageError(f"--action must be one of {', '.join(actions)}")
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    with storage_errors_shown():
        owner = None if user is None else owner_of(user, tenant)
        entry_filter = AuditFilter(tenant is None, tenant, owner, action, _seconds(since), _seconds(until))
        for page in audit_entries(settings, entry_filter):
            for row in page:
                click.echo(msgspec.json.encode(entry_of(row)))


def _seconds(at: datetime | None) -> float | None:
    """Return a time in Unix seconds. A time without a zone is taken as UTC."""
    return None if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def every_action() -> list[str]:
    """Return the actions of the server and all installed extensions, in order. Importing routes registers them."""
    import understudy.web.application  # noqa: F401 - registers the actions of the server's own routes
    from understudy.installed import brought, installed
    from understudy.storage.acts import Act

    for extension in installed().values():
        brought(extension.routes)
    return sorted(Act.known)


def audit_entries(settings: "Settings", selection: "AuditFilter") -> "Iterator[Sequence[StoredEntry]]":
    """Store an `audit.read` entry, then yield the older entries of the audit log in pages, newest first.

    Raises StorageError.
    """
    from understudy.cli.stored_data import DataCommandFailed, commit_beside, deed_of, open_read_only, what_stores
    from understudy.extensions.audit.storage import READ, entries, number_of

    if what_stores(settings) is None:
        raise DataCommandFailed("the extension audit is off, so this reading could not be recorded: turn it on")
    read_deed = deed_of(READ, tenant=selection.tenant)
    commit_beside(settings, read_deed)
    with open_read_only(settings) as database, database.reading.connect() as connection:
        bound = number_of(connection, read_deed.id, read_deed.who) or 0
        while page := entries(connection, selection, bound, AUDIT_PAGE):
            yield page
            bound = page[-1].number - 1
