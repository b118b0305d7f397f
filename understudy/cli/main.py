"""The command `understudy`, with the subcommands of the kernel; extensions add further ones.

Exit codes: 0 success, 1 failure, 2 wrong usage.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import click

from understudy import __version__
from understudy.app.serve import explain_os_error, listening_early
from understudy.app.settings import DATABASE_URL_FORMS, Settings
from understudy.cli.admin import admin
from understudy.cli.extended import ExtendedGroup, extensions
from understudy.cli.options import (
    DATA_DIR,
    FixableError,
    load_settings,
    refusals_in_log,
    serve_options,
)
from understudy.tools.containment import errors_in


class _Commands(ExtendedGroup):
    """A command group that reports `OSError` (missing directory, full disk) as a one-line message with exit code 1
    instead of a traceback, and Ctrl-C as `Aborted!`."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the program. From here on Ctrl-C interrupts a command; while it loaded, Ctrl-C ended the process."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="backslashreplace")  # like stderr: a terminal may lack a character
        try:
            return super().main(*arguments, **options)
        except OSError as error:  # click exits silently if the reader closed the pipe
            _discard_output()
            with suppress(OSError):
                click.ClickException(explain_os_error(error)).show()
            sys.exit(1)

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(context)
        except BaseExceptionGroup as group:  # raised by tasks that Ctrl-C or a closed output has interrupted
            if group.split((KeyboardInterrupt, OSError))[1] is not None:
                raise
            raise next(errors_in(group.subgroup(KeyboardInterrupt) or group)) from None


def _discard_output() -> None:
    """Redirect standard output to `os.devnull` if it cannot be flushed, as the interpreter would try again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="understudy")
def main() -> None:
    """A fault-tolerant chat server for agents."""


@main.command()
@click.argument("agents", nargs=-1, metavar="[MODULE:ATTR …]")
@serve_options
def serve(agents: tuple[str, ...], **given: Any) -> None:
    """Serve the chat page, REST and WebSocket until SIGTERM or Ctrl-C.

    Each MODULE:ATTR is an Agent of yours, or a list of them; the current folder is searched for modules too. Settings
    that are not given are read from UNDERSTUDY_* variables and understudy.toml.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the server receives signals
    with refusals_in_log():
        _serve(agents, load_settings(**given))


def _serve(agents: Sequence[str], settings: Settings) -> NoReturn:
    with listening_early(settings) as sockets:
        from understudy.app.serve import run_server
        from understudy.cli.load_agents import load_agents

        sys.exit(run_server(settings, load_agents(agents), sockets=sockets))


@main.command()
@click.option("--user", required=True, help="User of the token.")
@click.option("--role", "roles", multiple=True, help="Role of the user; may be given several times.")
@click.option("--group", "groups", multiple=True, help="Group of the user; may be given several times.")
@click.option("--tenant", help="Tenant of the user, if the setting tenant_claim names a claim for it.")
@click.option("--ttl-s", type=click.IntRange(min=1), help="Validity in seconds [session.token_ttl_s].")
@DATA_DIR
def token(
    user: str,
    roles: tuple[str, ...],
    groups: tuple[str, ...],
    tenant: str | None,
    ttl_s: int | None,
    data_dir: Path | None,
) -> None:
    """Print a session token. Any server configured with the same secret accepts it.

    The secret is UNDERSTUDY_SECRET or, if that is not set, the one the server made in its data folder.
    """
    import secrets

    from transport.wire.errors import Unauthenticated
    from understudy.auth.sessions import open_tokens

    settings = load_settings(data_dir=data_dir)
    if tenant is not None and not settings.tenant_claim:
        raise FixableError(
            "there are no tenants here: set tenant_claim (UNDERSTUDY_TENANT_CLAIM) to the claim for them"
        )
    if settings.signs and not settings.secret and not settings.secret_file.exists():
        raise FixableError(
            f"there is no secret in {settings.data_dir.absolute()}: name the server's data folder with --data-dir, "
            "start the server there once, or set UNDERSTUDY_SECRET"
        )
    try:
        tokens = open_tokens(settings)
    except (OSError, ValueError) as error:
        raise FixableError(f"the server's secret cannot be used: {explain_os_error(error)}") from error
    ttl_s = ttl_s or settings.session.token_ttl_s
    issued = tokens.issue(user, secrets.token_hex(8), roles=roles, groups=groups, tenant=tenant, ttl_s=ttl_s)
    try:
        is_accepted = tokens.verify(issued).roles == roles
    except Unauthenticated:
        is_accepted = False
    if not is_accepted:
        raise FixableError("no server would take it: --user, --role and --group must be few, short and printable")
    click.echo(issued)


@main.command()
@DATA_DIR
@click.option("--database-url", help=f"URL of the database, if it is not in the data folder: {DATABASE_URL_FORMS}.")
@click.option("--down", is_flag=True, help="Change nothing; say how to go back to an earlier release.")
def migrate(data_dir: Path | None, database_url: str | None, down: bool) -> None:
    """Migrate the database to the newest schema, creating it if missing; `serve` does the same when it starts.

    Fails without changing anything while a server uses the data folder, or on PostgreSQL if a running server could not
    use the new schema.
    """
    from understudy.cli.database import explain_way_back, migrate_database, run_operation

    operation = explain_way_back if down else migrate_database
    run_operation(operation, load_settings(data_dir=data_dir, database_url=database_url))


@main.command()
@click.argument("part", default="")
def settings(part: str) -> None:
    """Print the settings in force whose names contain PART: value, source, variable, and what each is for."""
    from understudy.app.field_texts import field_texts
    from understudy.app.settings import describe_settings, setting_tables, table_of, variable_of
    from understudy.installed import chosen, installed

    loaded = load_settings()
    off = {table_of(installed()[name]): name for name in installed().keys() - chosen(loaded.extensions).keys()}
    texts = field_texts(Settings)
    for table, kind in setting_tables().items():
        texts |= {f"{table}.{name}": text for name, text in field_texts(kind).items()}
    for setting in describe_settings(loaded):
        if part in setting.name:
            value = ("(secret)" if setting.is_set else "(empty)") if setting.secret else repr(setting.value)
            name = off.get(setting.name.partition(".")[0])
            without = f"; the extension {name} is off" if name else ""
            click.echo(f"{setting.name} = {value}, by {setting.source}; {variable_of(setting.name)}{without}")
            click.echo(click.wrap_text(texts[setting.name], 118, "    ", "    "))


main.add_command(admin)
main.add_command(extensions)
