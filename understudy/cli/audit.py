"""The command `understudy audit`: print the audit log as JSON Lines, from the database, also while a server runs."""

from datetime import UTC, datetime
from pathlib import Path

import click

from understudy.cli.options import DATA_DIR, DATABASE_URL, load_settings, storage_errors_shown

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
    """Print who did, allowed, changed, exported, erased or killed what: a JSON object a line, the newest first."""
    import msgspec

    from understudy.cli.user_data import audit_entries
    from understudy.privacy.records import audit_entry_of
    from understudy.storage.audit import AuditFilter, actions
    from understudy.storage.owners import owner_of

    if action is not None and action not in actions():
        raise click.UsageError(f"--action must be one of {', '.join(actions())}")
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    with storage_errors_shown():
        owner = None if user is None else owner_of(user, tenant)
        wanted = AuditFilter(tenant is None, tenant, owner, action, _seconds(since), _seconds(until))
        for page in audit_entries(settings, wanted):
            for each in page:
                click.echo(msgspec.json.encode(audit_entry_of(each)))


def _seconds(at: datetime | None) -> float | None:
    """Return a time in Unix seconds; one without a zone is in UTC."""
    return None if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
