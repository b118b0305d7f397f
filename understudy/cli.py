"""The command `understudy`: serve, chat, token, doctor."""

import sys
from pathlib import Path
from typing import Any

import click

from understudy import __version__
from understudy.config import BadSettings, load


class _Mendable(click.ClickException):
    """An error whose text says how to mend it; exit code 2, as for wrong usage."""

    exit_code = 2


def _load(**given: Any) -> Any:
    try:
        return load(**given)
    except BadSettings as error:
        raise _Mendable(str(error)) from error


@click.group()
@click.version_option(__version__)
def main() -> None:
    """A chat server for agents in which whatever dies, nobody is left in silence."""


@main.command()
@click.argument("agents", nargs=-1, metavar="[MODULE:ATTR …]")
@click.option("--host", help="Address to listen on; anything but a loopback address needs UNDERSTUDY_SECRET.")
@click.option("--port", type=int, help="Port for the page, REST and WebSocket [8002]; 0 takes a free one.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder for the database and files [data].")
@click.option("--database-url", help="sqlite:///FOLDER for the database, instead of the data folder.")
@click.option("--model", help="offline, or openai:NAME [offline].")
def serve(agents: tuple[str, ...], **given: Any) -> None:
    """Serve the chat page, REST and WebSocket. AGENTS are your own: Agent objects, or lists of them."""
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
    """Print a session token that this server accepts."""
    from understudy.sessions import open_tokens

    settings = _load(data_dir=data_dir)
    try:
        tokens = open_tokens(settings)
    except (OSError, ValueError) as error:
        raise _Mendable(f"the server's secret cannot be used: {error}") from error
    import secrets

    session = secrets.token_hex(8)
    click.echo(tokens.issue(user, session, roles=roles, ttl_s=ttl_s or settings.token_ttl_s))


@main.command()
@click.option("--url", help="Address of the server [http://127.0.0.1:8002].")
@click.option("--token", "session_token", envvar="UNDERSTUDY_TOKEN", help="A session token; also UNDERSTUDY_TOKEN.")
@click.option("--agent", default="guide", show_default=True, help="Who to talk to: guide, a pillar, or your agent.")
def chat(url: str | None, session_token: str | None, agent: str) -> None:
    """Talk to a running server in the terminal; Ctrl-C stops a run, Ctrl-D leaves."""
    from understudy.terminal import talk

    sys.exit(talk(url or _load().address, session_token, agent))


@main.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Data folder to look at [data].")
def doctor(data_dir: Path | None) -> None:
    """Say what is configured, reachable and missing, and how to mend it; exit code 1 when something must be mended."""
    from understudy.doctor import examine

    sys.exit(examine(data_dir))
