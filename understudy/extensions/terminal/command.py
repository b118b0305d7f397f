"""The command `understudy chat`."""

import sys

import click

from understudy.cli.options import FixableError, load_settings


@click.command()
@click.option("--url", help="Address of the server [http://127.0.0.1:8002].")
@click.option("--token", "session_token", envvar="UNDERSTUDY_TOKEN", help="A session token; also UNDERSTUDY_TOKEN.")
@click.option("--agent", help="Agent to talk to: its name or pillar [the one that answers by default].")
def chat(url: str | None, session_token: str | None, agent: str | None) -> None:
    """Talk to a running server in the terminal; Ctrl-C stops a run, Ctrl-D leaves, /help says more.

    Lines from a pipe are asked one after the other; then only the answers go to the standard output.
    """
    from understudy.extensions.terminal.chat import run_chat
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
