"""The commands `understudy invite` and `understudy accounts`, for the accounts of users of this server."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from understudy.app.settings import Settings
from understudy.cli.options import DATA_DIR, DATABASE_URL, FixableError, load_settings, storage_errors_shown
from understudy.extensions.accounts.settings import AccountSettings

HOURS = click.option(
    "--hours", type=click.IntRange(1, 720), default=72, show_default=True, help="Validity of the link."
)
ROLE = click.option("--role", "roles", multiple=True, help="Role of the user; may be given several times.")
GROUP = click.option("--group", "groups", multiple=True, help="Group of the user; may be given several times.")
URL = click.option("--url", help="Address of the server in the link [public_url, or the settings' host and port].")
ACCOUNTS = click.option(
    "--accounts", "accounts_enabled", is_flag=True, default=None, help="The server was started with --accounts."
)
FORCE = click.option("--force", is_flag=True, help="Proceed even if no operator can sign in afterwards.")


@click.command()
@click.argument("name")
@ROLE
@GROUP
@HOURS
@URL
@ACCOUNTS
@DATA_DIR
@DATABASE_URL
def invite(
    name: str,
    roles: tuple[str, ...],
    groups: tuple[str, ...],
    hours: int,
    url: str | None,
    **options: Any,
) -> None:
    """Create an account for NAME, and print a link to set its password, valid once. The server may be running."""
    from understudy.extensions.accounts.offline import invite_user

    settings = load_settings(**options)
    _check_rights(roles, groups)
    link = _link(settings, url)
    with storage_errors_shown():
        token = invite_user(settings, _named(name), roles, groups, time.time() + hours * 3600.0)
    click.echo(link(token))


@click.group()
def accounts() -> None:
    """List, change, disable and reset the accounts of users who sign in with a password."""


@accounts.command("list")
@DATA_DIR
@DATABASE_URL
def list_accounts(data_dir: Path | None, database_url: str | None) -> None:
    """Print a line for each account: name, state, roles, groups, time of the invitation; separated by tabs."""
    from understudy.cli.output import one_line
    from understudy.content.texts import moment
    from understudy.extensions.accounts.invites import state_of
    from understudy.extensions.accounts.offline import accounts_of

    settings = load_settings(data_dir=data_dir, database_url=database_url)
    with storage_errors_shown():
        for row in accounts_of(settings):
            state = state_of(row, time.time())
            fields = (row.owner, state, ",".join(row.roles), ",".join(row.groups), moment(row.created_at))
            click.echo("\t".join(map(one_line, fields)))


@accounts.command("disable")
@click.argument("name")
@FORCE
@DATA_DIR
@DATABASE_URL
def disable_account(name: str, force: bool, data_dir: Path | None, database_url: str | None) -> None:
    """Disable the account NAME, and end its sessions. Running servers end them within a second."""
    from understudy.extensions.accounts.offline import disable

    _on_account(partial(disable, force=force), name, data_dir, database_url)
    click.echo(f"disabled {_named(name)} and signed them out everywhere")


@accounts.command("reset")
@click.argument("name")
@HOURS
@URL
@ACCOUNTS
@DATA_DIR
@DATABASE_URL
def reset_account(name: str, hours: int, url: str | None, **options: Any) -> None:
    """Remove the password of NAME, end all their sessions, and print a new link. Enables a disabled account."""
    from understudy.extensions.accounts.offline import reset

    settings = load_settings(**options)
    link = _link(settings, url)
    with storage_errors_shown():
        token = reset(settings, _named(name), time.time() + hours * 3600.0)
    click.echo(link(token))


@accounts.command("set")
@click.argument("name")
@ROLE
@GROUP
@FORCE
@DATA_DIR
@DATABASE_URL
def set_account(
    name: str,
    roles: tuple[str, ...],
    groups: tuple[str, ...],
    force: bool,
    data_dir: Path | None,
    database_url: str | None,
) -> None:
    """Replace the roles and groups of NAME by those given, and end all their sessions."""
    from understudy.extensions.accounts.offline import set_rights

    _check_rights(roles, groups)
    _on_account(partial(set_rights, force=force), name, data_dir, database_url, roles, groups)
    click.echo(f"changed {_named(name)} and signed them out everywhere")


def _on_account(
    operation: Callable[..., None], name: str, data_dir: Path | None, database_url: str | None, *more: Any
) -> None:
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    with storage_errors_shown():
        operation(settings, _named(name), *more)


def _named(typed: str) -> str:
    from understudy.extensions.accounts.invites import NAME_RULE, account_name

    name = account_name(typed)
    if name is None:
        raise FixableError(NAME_RULE)
    return name


def _check_rights(roles: tuple[str, ...], groups: tuple[str, ...]) -> None:
    from understudy.extensions.accounts.invites import check_rights

    try:
        check_rights(roles, groups)
    except ValueError as error:
        raise FixableError(str(error)) from None


def _link(settings: Settings, url: str | None) -> Callable[[str], str]:
    """Return a function that makes a link of an invite. Raises FixableError if no server would accept the link."""
    if not settings.of(AccountSettings).enabled:
        raise FixableError(
            "the users of this server have no accounts, so the link would not work: set accounts.enabled "
            "(UNDERSTUDY_ACCOUNTS_ENABLED=true) for the server and this command, or pass --accounts if it was started "
            "with that"
        )
    base = url or settings.public_url
    if not base:
        if settings.port == 0:
            raise FixableError("the server's port is any free one: name its address with --url")
        base = settings.url_at(settings.port)
    return lambda token: f"{base.rstrip('/')}/join#{token}"
