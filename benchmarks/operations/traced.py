"""The cost of traces: servers with and without, side by side, that take turns at the same load.

Processor time of the server's process is measured, which other work on the machine changes little; what is left of that
changes all of them alike, as a round asks each of them in turn. A figure is the median over the rounds of the ratio.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Final

from attrs import define, frozen

from benchmarks.chat import load
from benchmarks.chat.servers import AGENTS, MEMORY, Chat
from benchmarks.figure import Figure
from benchmarks.store.servers import Node
from benchmarks.wire.server import ServerFailed

TRACED_COST: Final = 1.15
UNTRACED_COST: Final = 1.01
"""What the figures should be at most."""
OFF: Final = "off"
ON: Final = "on"
BEFORE: Final = "before"


@frozen
class Sizes:
    """How much is measured: rounds, and the users of one who each send every `every_s` for `for_s` seconds."""

    rounds: int = 16
    users: int = 20
    every_s: float = 1.0
    for_s: float = 8.0


QUICK: Final = Sizes(rounds=1, users=2, every_s=0.5, for_s=1.0)
"""So small that the numbers mean nothing: for tests."""


@define
class Collector:
    """Takes what it is sent. `size` is how many bytes that was."""

    port: int = 0
    size: int = 0


@contextmanager
def collector() -> Iterator[Collector]:
    """Serve a collector in a thread of this process."""
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Take a request."""
            made.size += len(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        made.port = server.server_port
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


def figures(sizes: Sizes, before: str | None) -> Iterator[Figure]:
    """Measure the servers in turn. Yield the figures.

    Raises:
        ServerFailed: A server does not start, a message has no answer, or nothing was traced.
    """
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="understudy-bench-", dir=MEMORY)))
        taken = stack.enter_context(collector())
        kinds: dict[str, dict[str, str]] = {OFF: {}, ON: {"UNDERSTUDY_OTLP_ENDPOINT": f"http://127.0.0.1:{taken.port}"}}
        if before is not None:
            kinds[BEFORE] = {"PYTHONPATH": str(Path(before).resolve()), "PYTHONSAFEPATH": "1"}
        chats = {
            name: Chat(stack.enter_context(Node(folder / name, agents=AGENTS, **given)))
            for name, given in kinds.items()
        }
        for number in range(sizes.rounds + 1):
            turns = list(chats.items())
            for name, chat in turns if number % 2 else reversed(turns):  # none is always the first
                cost_s = _turn_s(chat, sizes)
                if number:  # the first one warms up
                    found.setdefault(name, []).append(cost_s)
            print("traced:", {name: f"{each[-1] * 1000:.2f} ms" for name, each in found.items()}, file=sys.stderr)
        if not taken.size:
            raise ServerFailed("nothing came to the collector")
    yield Figure("untraced_turn_ms", "ms", median(found[OFF]) * 1000)
    yield Figure("traced_cost", "times", _ratio(found[ON], found[OFF]), aim=TRACED_COST)
    if before is not None:
        yield Figure("untraced_cost", "times", _ratio(found[OFF], found[BEFORE]), aim=UNTRACED_COST)


def _turn_s(chat: Chat, sizes: Sizes) -> float:
    """Return the processor seconds of one turn."""
    loaded = load(chat, "tool", sizes.users, sizes.for_s, sizes.every_s)
    if not loaded.whole:
        raise ServerFailed("a message was not answered")
    return loaded.cpu_s / loaded.answered


def _ratio(these: list[float], those: list[float]) -> float:
    return median(this / that for this, that in zip(these, those, strict=True))
