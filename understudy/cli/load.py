"""`understudy load`: its arguments made into a load, and the report printed."""

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import click
import trio

from transport.client.dial import SocketUrl
from understudy.app.settings import Settings
from understudy.auth.sessions import open_tokens
from understudy.cli.chat import ChatFailed, ServerAddress
from understudy.cli.console import one_line
from understudy.load.person import Behaviour
from understudy.load.run import Load, LoadFailed, run_load
from understudy.load.tally import report_text

TOKEN_S: Final = 24 * 3600
"""Seconds for which a token is valid that the command makes for a user."""


def read_behaviours(text: str) -> Mapping[Behaviour, int]:
    """Read `typist=8,stopper` as a weight for each behaviour. Raises ValueError with a sentence."""
    found: dict[Behaviour, int] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        try:
            behaviour, count = Behaviour(name), int(weight or "1")
        except ValueError:
            known = ", ".join(each.value for each in Behaviour)
            raise ValueError(
                f"{part.strip()!r} is none of {known}, with or without a weight such as typist=8"
            ) from None
        if not 0 < count <= 1000 or behaviour in found:
            raise ValueError(f"{part.strip()!r}: a weight is 1 to 1000, and each behaviour is named once")
        found[behaviour] = count
    return found


def run_load_command(address: ServerAddress, load: Load, settings: Settings | None, json_file: Path | None) -> int:
    """Run a load over this process's streams. Return the exit code: 1 if a promise was broken or nothing answered.

    With `settings` the users' tokens are made with the server's secret, else each user begins an anonymous session.
    Raises OSError, ValueError: the secret cannot be used, or the report cannot be written.
    """
    sign_in = _anonymous(address) if settings is None else _signed(settings)
    try:
        report = trio.run(run_load, load, sign_in, lambda line: click.echo(line, err=True))
    except (ChatFailed, LoadFailed) as failed:
        click.echo(one_line(failed), err=True)
        return 1
    text = json.dumps({"address": address.place, **report}, ensure_ascii=False)
    if json_file is not None and str(json_file) != "-":
        json_file.write_text(f"{text}\n", encoding="utf-8")
    click.echo(text if str(json_file) == "-" else report_text(report))
    return 0 if report["kept"] else 1


def socket_url(address: ServerAddress) -> SocketUrl:
    """Return the address of the server's WebSocket."""
    return SocketUrl.parse(address.socket)


def _anonymous(address: ServerAddress) -> Callable[[int], Awaitable[str]]:
    async def sign_in(_number: int) -> str:
        return str((await address.ask("POST", "/api/sessions"))["session_token"])

    return sign_in


def _signed(settings: Settings) -> Callable[[int], Awaitable[str]]:
    tokens = open_tokens(settings)

    async def sign_in(number: int) -> str:
        await trio.lowlevel.checkpoint()
        return tokens.issue(f"load-{number}", secrets.token_hex(8), ttl_s=TOKEN_S)

    return sign_in
