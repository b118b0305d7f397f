"""Put a running server under load from a process of its own, and check what it promises.

    python -m tests.load http://127.0.0.1:8002 --users 200 --for 60 --every 10
    python -m tests.load --at-once --behave typist=5,stopper,reloader,switcher,two-tabs,bad-network

Scripted people send messages when they are due, whatever came before, and receive every event. A line a second goes to
standard error, the report to standard output. Ctrl-C ends early, with the report. Exit code 1: a promise was broken,
nothing was answered, or a user could not connect.
"""

import argparse
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import trio

from tests.load.person import Behaviour
from tests.load.run import Load, LoadFailed, run_load
from tests.load.tally import report_text
from transport.client.dial import SocketUrl
from understudy.app.settings import load as load_settings
from understudy.auth.sessions import open_tokens
from understudy.cli.server_address import ServerAddress, ServerFailed

TEXT = "What is 17 * 23? Use your calculator."
TOKEN_S = 24 * 3600
"""Seconds for which a token is valid that is made for a user."""


def read_behaviours(text: str) -> Mapping[Behaviour, int]:
    """Read `typist=8,stopper` as a weight for each behaviour. Raises argparse.ArgumentTypeError."""
    counts: dict[Behaviour, int] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        try:
            behaviour, count = Behaviour(name), int(weight or "1")
        except ValueError:
            names = ", ".join(kind.value for kind in Behaviour)
            raise argparse.ArgumentTypeError(f"{part.strip()!r} is none of {names}, with or without a weight") from None
        if count < 1:
            raise argparse.ArgumentTypeError(f"{part.strip()!r}: a weight is 1 or more")
        counts[behaviour] = count
    return counts


def anonymous(address: ServerAddress) -> Callable[[int], Awaitable[str]]:
    """Return a function that begins an anonymous session for each user."""

    async def sign_in(_number: int) -> str:
        return str((await address.ask("POST", "/api/sessions"))["session_token"])

    return sign_in


def signed(data_dir: Path) -> Callable[[int], Awaitable[str]]:
    """Return a function that makes each user's token with the secret of the server that has this data folder."""
    tokens = open_tokens(load_settings(data_dir=data_dir))

    async def sign_in(number: int) -> str:
        await trio.lowlevel.checkpoint()
        return tokens.issue(f"load-{number}", secrets.token_hex(8), ttl_s=TOKEN_S)

    return sign_in


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, run the load and print its report. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.load")
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:8002")
    parser.add_argument("--users", type=int, default=10, help="people at once")
    parser.add_argument("--for", dest="for_s", type=float, default=30.0, help="seconds of sending")
    parser.add_argument("--every", dest="every_s", type=float, default=10.0, help="seconds between a person's messages")
    parser.add_argument("--at-once", action="store_true", help="everybody sends at the same instants")
    parser.add_argument("--behave", type=read_behaviours, default="typist", metavar="NAME[=WEIGHT],…")
    parser.add_argument("--data-dir", type=Path, help="of a server that signs users in: tokens have its secret")
    options = parser.parse_args(arguments)
    try:
        address = ServerAddress.parse(options.address)
        url, sizes = SocketUrl.parse(address.socket), (options.users, options.for_s, options.every_s)
        load = Load(url, *sizes, options.behave, (TEXT,), at_once=options.at_once)
        sign_in = anonymous(address) if options.data_dir is None else signed(options.data_dir)
        report = trio.run(run_load, load, sign_in, lambda line: print(line, file=sys.stderr, flush=True))
    except (ServerFailed, LoadFailed) as failed:
        print(failed, file=sys.stderr)
        return 1
    print(report_text(report))
    return 0 if report["kept"] else 1


if __name__ == "__main__":
    sys.exit(main())
