"""The commands `understudy users` and `threads`: list users, export and erase their data, sign them out."""

import logging
import sys
from pathlib import Path
from typing import Any

import click

from understudy.cli.options import DATA_DIR, DATABASE_URL, TENANT, export_options, load_settings, storage_errors_shown


@click.group()
def users() -> None:
    """List, export, erase and sign out users."""


@users.command("list")
@TENANT
@DATA_DIR
@DATABASE_URL
def list_users(tenant: str | None, data_dir: Path | None, database_url: str | None) -> None:
    """Print a line for each user: name, tenant, number of threads, time of the last change; separated by tabs."""
    from understudy.cli.output import one_line
    from understudy.content.texts import moment
    from understudy.extensions.privacy.offline import users_with_data
    from understudy.storage.owners import name_of

    settings = load_settings(data_dir=data_dir, database_url=database_url)
    with storage_errors_shown():
        for page in users_with_data(settings, tenant):
            for user in page:
                touched = "" if user.updated_at is None else moment(user.updated_at)
                fields = (name_of(user.id), user.tenant or "", str(user.threads), touched)
                click.echo("\t".join(map(one_line, fields)))


@users.command("export")
@click.argument("owner", required=False)
@TENANT
@export_options
def export_users(owner: str | None, tenant: str | None, **options: Any) -> None:
    """Export all data of OWNER, or without OWNER of all users of a tenant."""
    _need(owner, tenant)
    export(owner, tenant, None, **options)


@users.command("delete")
@click.argument("owner", required=False)
@TENANT
@click.option("--yes", is_flag=True, help="Confirm: this cannot be undone.")
@click.option("--force", is_flag=True, help="Proceed even if no operator can sign in afterwards.")
@DATA_DIR
@DATABASE_URL
def delete_users(
    owner: str | None, tenant: str | None, yes: bool, force: bool, data_dir: Path | None, database_url: str | None
) -> None:
    """Erase all data of OWNER, or without OWNER of all users of a tenant. No server may be running."""
    from understudy.extensions.privacy.offline import erase_users

    _need(owner, tenant)
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    if not yes:
        raise click.UsageError("this cannot be undone: say --yes if you mean it")
    logging.getLogger("understudy").addHandler(logging.NullHandler())  # errors are printed as sentences
    with storage_errors_shown():
        done = erase_users(settings, owner, tenant, lambda note: click.echo(f"Note: {note}", err=True), force=force)
    count, threads, files = len(done), sum(erased.threads for erased in done), sum(erased.files for erased in done)
    click.echo(f"erased {count} {'user' if count == 1 else 'users'} with {threads} threads and {files} files")
    sys.exit(0 if all(erased.whole for erased in done) else 1)


@users.command("sign-out")
@click.argument("owner")
@TENANT
@DATA_DIR
@DATABASE_URL
def sign_out_users(owner: str, tenant: str | None, data_dir: Path | None, database_url: str | None) -> None:
    """End all sessions of OWNER, also while servers run: every token issued until now is refused within a second."""
    from understudy.cli.stored_data import sign_out

    settings = load_settings(data_dir=data_dir, database_url=database_url)
    logging.getLogger("understudy").addHandler(logging.NullHandler())  # errors are printed as sentences
    with storage_errors_shown():
        sign_out(settings, owner, tenant)
    click.echo(f"signed {owner} out everywhere")


def _need(owner: str | None, tenant: str | None) -> None:
    if owner is None and tenant is None:
        raise click.UsageError("name the user, or with --tenant all users of a tenant")


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
    output: Path | None,
    data_dir: Path | None,
    database_url: str | None,
) -> None:
    """Export a thread, a user or a whole tenant, as the options say."""
    from understudy.extensions.privacy.export import ExportOptions
    from understudy.extensions.privacy.offline import export_data

    settings = load_settings(data_dir=data_dir, database_url=database_url)
    with storage_errors_shown():
        export_data(settings, ExportOptions(form, events), output, owner, tenant, thread)
