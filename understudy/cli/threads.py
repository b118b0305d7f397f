"""The command `understudy threads`: export conversations."""

from pathlib import Path
from typing import Any

import click

from understudy.cli.options import TENANT, export_options, load_settings, storage_errors_shown


@click.group()
def threads() -> None:
    """Export conversations from the database, also while a server runs."""


@threads.command("export")
@click.option("--owner", required=True, help="User who owns the conversation.")
@TENANT
@click.option("--thread", help="Id of the conversation [all of the owner].")
@export_options
def export_threads(owner: str, tenant: str | None, thread: str | None, **options: Any) -> None:
    """Export one conversation, or all of a user, as JSON or Markdown."""
    export(owner, tenant, thread, **options)


def export(
    owner: str | None,
    tenant: str | None,
    thread: str | None,
    *,
    form: str,
    events: bool,
    raw: bool,
    output: Path | None,
    data_dir: Path | None,
    database_url: str | None,
) -> None:
    """Export a thread, a user or a whole tenant, as the options say."""
    from understudy.cli.user_data import export_data
    from understudy.privacy.export import ExportOptions

    settings = load_settings(data_dir=data_dir, database_url=database_url)
    with storage_errors_shown():
        export_data(settings, ExportOptions(form, raw, events), output, owner, tenant, thread)
