"""The command `understudy`, with the subcommands of the kernel; extensions bring theirs.

Exit codes: 0 success, 1 failure (or findings of `scrub --check`), 2 wrong usage.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

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
    storage_errors_shown,
)
from understudy.tools.containment import errors_in

if TYPE_CHECKING:
    from sanitization import Policy
    from understudy.cli.database import OperationResult


class _Commands(ExtendedGroup):
    """A command group that reports `OSError` (missing directory, full disk) as a one-line message with exit code 1
    instead of a traceback, and Ctrl-C as `Aborted!`."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the program: Ctrl-C interrupts commands from here on, which it ended while they loaded."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="backslashreplace")  # as that of errors: a terminal may lack a letter
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
        except BaseExceptionGroup as group:  # of tasks, which Ctrl-C or the end of the output has interrupted
            if group.split((KeyboardInterrupt, OSError))[1] is not None:
                raise
            raise next(errors_in(group.subgroup(KeyboardInterrupt) or group)) from None


def _discard_output() -> None:
    """Redirect standard output to nowhere if it cannot be flushed, so that the interpreter does not try again at
    exit."""
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
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the server hears it
    with refusals_in_log():
        _serve(agents, load_settings(**given))


def _serve(agents: Sequence[str], settings: Settings) -> NoReturn:
    with listening_early(settings) as sockets:
        from understudy.app.serve import run_server
        from understudy.cli.load_agents import load_agents

        sys.exit(run_server(settings, load_agents(agents), sockets=sockets))


@main.command()
@click.argument("path", metavar="NAME", type=click.Path(path_type=Path))
def new(path: Path) -> None:
    """Make a project called NAME in a new folder: an agent, tools, tests, settings, a Dockerfile and a systemd unit."""
    from understudy.cli.new_project import make_project

    for each in make_project(path):
        click.echo(each)
    click.echo(f"Next: cd {path}, then see README.md, or at once: understudy serve {path.name}.agents:AGENTS")


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
        whole = tokens.verify(issued).roles == roles
    except Unauthenticated:
        whole = False
    if not whole:
        raise FixableError("no server would take it: --user, --role and --group must be few, short and printable")
    click.echo(issued)


@main.command()
@click.option("--url", help="Address of the server [http://127.0.0.1:8002].")
@click.option("--token", "session_token", envvar="UNDERSTUDY_TOKEN", help="A session token; also UNDERSTUDY_TOKEN.")
@click.option("--agent", help="Agent to talk to: its name or pillar [the one that answers by default].")
def chat(url: str | None, session_token: str | None, agent: str | None) -> None:
    """Talk to a running server in the terminal; Ctrl-C stops a run, Ctrl-D leaves, /help says more.

    Lines from a pipe are asked one after the other; then only the answers go to the standard output.
    """
    from understudy.cli.chat import run_chat
    from understudy.storage.errors import ExtraNotInstalled

    if url is None:
        settings = load_settings()
        if settings.port == 0:
            raise FixableError("the server's port is any free one: name its address with --url")
        url = settings.url_at(settings.port)
    try:
        sys.exit(run_chat(url, session_token, agent))
    except ExtraNotInstalled as missing:
        raise FixableError(str(missing)) from None


def _policy(_context: click.Context, _option: click.Parameter, name: str) -> "Policy":
    from sanitization import PRESETS, PolicyError, policy_from_toml

    if name in PRESETS:
        return PRESETS[name]
    try:
        return policy_from_toml(Path(name).read_text(encoding="utf-8-sig"))
    except PolicyError as error:
        raise FixableError(f"{click.format_filename(name)}: {error}") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise FixableError(
            f"--policy takes {', '.join(PRESETS)}, or a file of TOML; {click.format_filename(name)!r}: {why}"
        ) from error


@main.command()
@click.argument("files", nargs=-1, metavar="[FILE …]", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--policy",
    metavar="NAME|FILE",
    default="standard",
    show_default=True,
    callback=_policy,
    help="strict, standard, off, or a TOML file.",
)
@click.option(
    "--direction",
    type=click.Choice(["inbound", "tool", "outbound"]),
    default="tool",
    show_default=True,
    help="Rules of the policy to apply: for users' text, for files and tools, or for answers.",
)
@click.option(
    "--check", is_flag=True, help="Write the positions of findings, not the text; exit code 1 if there are any."
)
@click.option("--json", "as_json", is_flag=True, help="Report findings as JSON, one object a line.")
@click.option("--html", is_flag=True, help="Make markup safe to put into a page, and leave text alone.")
def scrub(files: tuple[str, ...], policy: "Policy", direction: str, **options: bool) -> None:
    """Remove secrets, hidden characters and active markup from files or a pipe.

    The text is written to standard output as it comes in, findings to standard error. Without a FILE, or if it is -,
    standard input is read.
    """
    from sanitization import Direction
    from understudy.cli.scrub import STDIN, ScrubCommand

    sys.exit(ScrubCommand(policy, Direction(direction), **options).run(files or (STDIN,)))


@main.command()
@DATA_DIR
@click.option("--database-url", help=f"URL of the database, if it is not in the data folder: {DATABASE_URL_FORMS}.")
@click.option("--down", is_flag=True, help="Change nothing; say how to go back to an earlier release.")
def migrate(data_dir: Path | None, database_url: str | None, down: bool) -> None:
    """Migrate the database to the newest schema, creating it if missing; `serve` does the same when it starts.

    Fails without changing anything while a server uses the data folder, or on PostgreSQL if a running server could not
    use the new schema.
    """
    from understudy.cli.database import explain_way_back, migrate_database

    operation = explain_way_back if down else migrate_database
    _run_operation(operation, load_settings(data_dir=data_dir, database_url=database_url))


@main.command()
@click.argument("target", type=click.Path(path_type=Path))
@DATA_DIR
def backup(target: Path, data_dir: Path | None) -> None:
    """Copy the database and the uploaded files to the new folder TARGET; the server may be running.

    The server's secret is not included: keep a copy elsewhere, or every user has to sign in again.
    """
    from understudy.cli.database import back_up_data

    _run_operation(back_up_data, load_settings(data_dir=data_dir), target)


@main.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--data-dir", type=click.Path(path_type=Path), help="Data folder to restore into [data].")
def restore(source: Path, data_dir: Path | None) -> None:
    """Restore the backup SOURCE into a data folder without a database."""
    from understudy.cli.database import restore_backup

    _run_operation(restore_backup, load_settings(data_dir=data_dir), source)


def _run_operation(operation: "Callable[..., OperationResult]", *arguments: object) -> None:
    """Run an operation and print its result. Exit with 1 if it failed or was incomplete."""
    with storage_errors_shown():
        done = operation(*arguments)
    click.echo(done.text)
    sys.exit(0 if done.complete else 1)


@main.command()
@click.argument("agents", nargs=-1, metavar="[MODULE:ATTR]...")
@serve_options
@click.option("--offline", is_flag=True, help="Ask no provider of models or identities, and no MCP server.")
def doctor(agents: tuple[str, ...], *, offline: bool, **given: Any) -> None:
    """Check configuration and services, and say how to fix problems; exit code 1 if anything must be fixed.

    Each MODULE:ATTR is an Agent of yours, or a list of them, whose models and MCP servers are asked too. The other
    options are those of serve.
    """
    from understudy.cli.doctor import run_doctor
    from understudy.cli.load_agents import load_agents

    sys.exit(run_doctor(load_agents(agents), offline=offline, **given))


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
    for each in describe_settings(loaded):
        if part in each.name:
            value = ("(secret)" if each.is_set else "(empty)") if each.secret else repr(each.value)
            name = off.get(each.name.partition(".")[0])
            without = f"; the extension {name} is off" if name else ""
            click.echo(f"{each.name} = {value}, by {each.source}; {variable_of(each.name)}{without}")
            click.echo(click.wrap_text(texts[each.name], 118, "    ", "    "))


main.add_command(admin)
main.add_command(extensions)
