"""The command `understudy`: serve, chat, token, doctor. Exit codes: 0 well, 1 it could not be done, 2 wrong usage."""

import sys
from pathlib import Path
from typing import Any

import click

from understudy import __version__
from understudy.config import DATABASE_URL_FORMS, BadSettings, Settings, load


class _Mendable(click.ClickException):
    """An error whose text says how to mend it; exit code 2, as for wrong usage."""

    exit_code = 2


def _load(**given: Any) -> Settings:
    try:
        return load(**given)
    except BadSettings as error:
        raise _Mendable(str(error)) from error


@click.group()
@click.version_option(__version__, prog_name="understudy")
def main() -> None:
    """A chat server for agents in which whatever dies, nobody is left in silence."""


@main.command()
@click.argument("agents", nargs=-1, metavar="[MODULE:ATTR …]")
@click.option("--host", help="Address to listen on [127.0.0.1]; any but a loopback address needs UNDERSTUDY_SECRET.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port for everything [8002]; 0 takes a free one.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder for the database and files [data].")
@click.option("--database-url", help=f"Where the database is, if not in the data folder: {DATABASE_URL_FORMS}.")
@click.option("--model", help="offline, or openai:NAME [offline].")
def serve(agents: tuple[str, ...], **given: Any) -> None:
    """Serve the chat page, REST and WebSocket until SIGTERM or Ctrl-C.

    Each MODULE:ATTR is an Agent of yours, or a list of them; modules are also found in the current folder. Whatever
    is not given is read from UNDERSTUDY_* variables and understudy.toml.
    """
    from understudy.app import run
    from understudy.loading import CannotLoad, load_agents

    settings = _load(**given)
    try:
        found = load_agents(agents)
    except CannotLoad as error:
        raise _Mendable(str(error)) from error
    sys.exit(run(settings, found))


@main.command()
@click.option("--user", required=True, help="Who the token is for.")
@click.option("--role", "roles", multiple=True, help="A role of theirs; may be given several times.")
@click.option("--ttl-s", type=click.IntRange(min=1), help="How long it is valid, in seconds [token_ttl_s].")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Data folder of the server [data].")
def token(user: str, roles: tuple[str, ...], ttl_s: int | None, data_dir: Path | None) -> None:
    """Print a session token that the server accepts which has the same secret.

    That is the one in UNDERSTUDY_SECRET, or else the one that the server made in its data folder.
    """
    import secrets

    from transport.errors import Unauthenticated
    from understudy.sessions import open_tokens

    settings = _load(data_dir=data_dir)
    kept = bool(settings.secret) or settings.secret_file.exists()
    try:
        tokens = open_tokens(settings)
    except (OSError, ValueError) as error:
        raise _Mendable(f"the server's secret cannot be used: {error}") from error
    issued = tokens.issue(user, secrets.token_hex(8), roles=roles, ttl_s=ttl_s or settings.token_ttl_s)
    try:
        tokens.verify(issued)
    except Unauthenticated as refused:
        raise _Mendable(
            "no server would take it: --user and --role must be short, printable and not empty"
        ) from refused
    if not kept:
        folder = settings.data_dir.absolute()
        click.echo(f"A new secret was made in {folder}; only a server with this data folder takes the token.", err=True)
    click.echo(issued)


@main.command()
@click.option("--url", help="Address of the server [http://127.0.0.1:8002].")
@click.option("--token", "session_token", envvar="UNDERSTUDY_TOKEN", help="A session token; also UNDERSTUDY_TOKEN.")
@click.option("--agent", default="guide", show_default=True, help="Who to talk to: guide, a pillar, or your agent.")
def chat(url: str | None, session_token: str | None, agent: str) -> None:
    """Talk to a running server in the terminal; Ctrl-C stops a run, Ctrl-D leaves, /help says more.

    Lines from a pipe are asked one after the other; then only the answers go to the standard output.
    """
    from understudy.terminal import talk

    if url is None:
        settings = _load()
        if settings.port == 0:
            raise _Mendable("the server's port is any free one: name its address with --url")
        url = settings.at(settings.port)
    sys.exit(talk(url, session_token, agent))


@main.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Data folder to look at [data].")
def doctor(data_dir: Path | None) -> None:
    """Say what is configured, reachable and missing, and how to mend it; exit code 1 when something must be mended."""
    from understudy.doctor import examine

    sys.exit(examine(data_dir))
