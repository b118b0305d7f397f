"""Shared parts of commands: their options, loading the settings, and reporting errors."""

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from understudy.app.serve import explain_os_error
from understudy.app.settings import DATABASE_URL_FORMS, BadSettings, Settings, load

_Command = TypeVar("_Command", bound=Callable[..., object])

OWN_TOKEN_S: Final = 12 * 3600
"""Validity in seconds of a token that a command makes for itself."""

DATA_DIR = click.option("--data-dir", type=click.Path(path_type=Path), help="Data folder of the server [data].")
DATABASE_URL = click.option("--database-url", help="URL of the database, if it is not in the data folder.")
TENANT = click.option("--tenant", help="Tenant of the users.")
_EXPORT = (
    click.option(
        "--format",
        "form",
        type=click.Choice(["json", "markdown"]),
        default="json",
        show_default=True,
        help="Format of the export.",
    ),
    click.option("--events", is_flag=True, help="Include the event log (JSON only)."),
    click.option("--output", type=click.Path(path_type=Path), help="File to write to [standard output]."),
    DATA_DIR,
    DATABASE_URL,
)


_SERVE = (
    click.option("--host", help="Address to listen on [127.0.0.1]; all but loopback need UNDERSTUDY_SECRET."),
    click.option("--port", type=click.IntRange(0, 65535), help="Port for everything [8002]; 0 takes a free one."),
    click.option("--tls-certificate", type=click.Path(path_type=Path), help="PEM file: the certificate and its chain."),
    click.option("--tls-key", type=click.Path(path_type=Path), help="PEM file: the key; with it the port speaks TLS."),
    click.option("--data-dir", type=click.Path(path_type=Path), help="Folder for the database and files [data]."),
    click.option("--database-url", help=f"URL of the database, if it is not in the data folder: {DATABASE_URL_FORMS}."),
    click.option("--model", help="offline, openai:NAME or openai-chat:NAME [offline]."),
    click.option(
        "--no-builtin-agents",
        "builtin_agents",
        flag_value=[],
        type=click.UNPROCESSED,
        help="Serve only your own agents.",
    ),
    click.option("--default-agent", help="Agent that answers messages which name none [guide, or your first]."),
    click.option(
        "--accounts",
        "accounts_enabled",
        is_flag=True,
        default=None,
        help="Users sign in with a password (understudy invite).",
    ),
)


def _with_options(options: Sequence[Callable[[_Command], _Command]], command: _Command) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command


def export_options(command: _Command) -> _Command:
    """Add the options of commands that export data."""
    return _with_options(_EXPORT, command)


def serve_options(command: _Command) -> _Command:
    """Add the options of commands that start a server, or check whether it would start. They are named as settings."""
    return _with_options(_SERVE, command)


class FixableError(click.ClickException):
    """An error whose text says how to fix it. Exit code 2, as for wrong usage."""

    exit_code = 2


def load_settings(**given: Any) -> Settings:
    """Load the settings. Raise FixableError if any is missing or wrong."""
    try:
        return load(**given)
    except BadSettings as error:
        raise FixableError(str(error)) from error


def _own_token(settings: Settings) -> str:
    """Make an operator's token with the server's secret on this machine.

    Raises:
        OSError, ValueError: There is no usable secret on this machine.
    """
    from understudy.auth.rights import OPERATOR, SERVER_OPERATOR
    from understudy.auth.sessions import open_tokens

    if not settings.secret and not settings.secret_file.exists():
        raise ValueError(f"there is no secret in {settings.data_dir.absolute()}")
    roles = (OPERATOR, SERVER_OPERATOR) if settings.tenant_claim else (OPERATOR,)
    return open_tokens(settings).issue("admin", secrets.token_hex(8), roles=roles, ttl_s=OWN_TOKEN_S)


def operator_of(settings: Settings, url: str | None, token: str | None) -> tuple[str, str]:
    """Return the address of a running server and an operator's token: `url` and `token`, or the address in the settings
    and a token that is made with the server's secret.

    Raises:
        FixableError: The settings name no address, or there is no secret on this machine.
    """
    if url is None:
        if settings.port == 0:
            raise FixableError("the server's port is any free one: name its address with --url")
        url = settings.url_at(settings.port)
    if token is None:
        try:
            token = _own_token(settings)
        except (OSError, ValueError) as error:
            raise FixableError(
                f"{explain_os_error(error)}: name the server's data folder with --data-dir, or give an operator's token"
            ) from error
    return url, token


@contextmanager
def refusals_in_log() -> Iterator[None]:
    """Write an error by which a command cannot start as a line of the log, if logs are written as JSON."""
    try:
        yield
    except click.ClickException as error:
        from understudy.observe.logs import is_readable, report_no_start

        form = os.environ.get("UNDERSTUDY_LOG_FORMAT") or "auto"
        if is_readable(form, sys.stderr):
            raise
        report_no_start(error.message, form)
        sys.exit(error.exit_code)


@contextmanager
def storage_errors_shown() -> Iterator[None]:
    """Report errors of storage as the command's error, with exit code 1."""
    from understudy.storage.errors import ExtraNotInstalled, StorageError

    try:
        yield
    except* (StorageError, ExtraNotInstalled) as group:
        error: Exception = group
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        raise click.ClickException(str(error)) from error
