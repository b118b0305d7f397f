"""The wire in numbers, beside uvicorn with websockets on uvloop, and ws on Node.

fanout                  events a second to 50 connections, to each its own, about 300 bytes, in bursts of 100, one frame
                        an event
broadcast               the same, but one event to all: encoded once
fanout_batch            as fanout, with several events in a frame as the client's `hello` allows; beside the peers'
                        fanout, and beside peers that put a burst into one frame by hand
echo                    messages of 100 bytes there and back, over 50 connections, one at a time on each
idle_connection_bytes   what the resident memory grows by for each of the last 9,900 of 10,000 idle connections: ours is
                        the whole product, with its actors
storm_p99_s             2,000 clients lose their connections at once: seconds until the 99th of a hundred has resumed
                        its thread and has the events it lacks; storm_lost is the events that never came

Each server has a process and a core of its own, the clients have the other. What is a rate counts the seconds that the
server's process has worked, so that neither slow clients nor other programs count. Rates are medians of interleaved
rounds, the rest is measured once: those are medians or percentiles of thousands already.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

from benchmarks.figure import Figure
from benchmarks.peers.home import Missing

from . import rates
from .client import raise_file_limit
from .idle import idle
from .product import product
from .server import Server, ServerFailed, module, node, uvicorn
from .sizes import QUICK, Sizes
from .storm import storm

__all__ = ["QUICK", "Sizes", "figures"]

OURS = "ours"
UVICORN = "uvicorn+websockets+uvloop"
WS = "ws on Node"
_BY_HAND = ", batched by hand"

COMMANDS: Mapping[str, Callable[[], list[str]]] = {
    OURS: lambda: module("ours"),
    "our echo": lambda: module("commands", "echo"),
    UVICORN: uvicorn,
    WS: node,
}


def figures(sizes: Sizes | None = None) -> Iterator[Figure]:
    """Measure and yield, one by one. A peer that cannot be had, or fails, is named on the error output.

    Raises ServerFailed when ours fails: there is no number then.
    """
    sizes = sizes or Sizes()
    raise_file_limit()
    with ExitStack() as stack:
        yield from _rates(dict(_start(stack)), sizes)
    yield _idle(sizes)
    with product(sizes.storm, sizes.events) as server:
        back = storm(server, sizes.storm)
    yield Figure("storm_p99_s", "s", back.p99_s)
    yield Figure("storm_lost", "events", back.lost)


def _start(stack: ExitStack) -> Iterator[tuple[str, Server]]:
    """All servers that can be had."""
    for name, command in COMMANDS.items():
        try:
            yield name, stack.enter_context(Server(name, command()))
        except (Missing, ServerFailed) as reason:
            if name.startswith("our"):
                raise
            say(f"no {name}: {reason}")


def _rates(servers: Mapping[str, Server], sizes: Sizes) -> Iterator[Figure]:
    peers = (UVICORN, WS)
    own, room = rates.own, lambda: rates.room(sizes.connections)
    fanout = _compare("fanout", "events/s", servers, {OURS: own, **dict.fromkeys(peers, own)}, sizes)
    yield fanout
    yield _compare("broadcast", "events/s", servers, {OURS: room, **dict.fromkeys(peers, room)}, sizes)
    works = {OURS: lambda: rates.own(batch=True), **{name + _BY_HAND: rates.together for name in peers}}
    batch = _compare("fanout_batch", "events/s", servers, works, sizes)
    yield Figure(batch.figure, batch.unit, batch.ours, fanout.peers | batch.peers)
    echoes = dict.fromkeys(("our echo", *peers), rates.echo)
    yield _compare("echo", "messages/s", servers, echoes, sizes)


def _compare(
    name: str, unit: str, servers: Mapping[str, Server], works: Mapping[str, Callable[[], rates.Work]], sizes: Sizes
) -> Figure:
    """The medians of everybody, their rounds in turn; the first is ours."""
    ours = next(iter(works))
    runs: dict[str, list[float]] = {who: [] for who in works if _server(who) in servers}
    for _ in range(sizes.rounds):
        for who in tuple(runs):
            try:
                runs[who].append(rates.rate(servers[_server(who)], works[who], sizes))
            except ServerFailed as reason:
                if who == ours:
                    raise
                say(f"{who} has no {name}: {reason}")
                del runs[who]
    medians = {who: statistics.median(values) for who, values in runs.items()}
    return Figure(name, unit, medians.pop(ours), medians)


def _server(who: str) -> str:
    return who.removesuffix(_BY_HAND)


def _idle(sizes: Sizes) -> Figure:
    with product() as ours:
        held = idle(ours.server, ours.path, sizes.idle, sizes)
    peers: dict[str, float] = {}
    for name in (UVICORN, WS):
        try:
            with Server(name, COMMANDS[name]()) as server:
                peers[name] = idle(server, lambda _: "/events", sizes.idle, sizes)
        except (Missing, ServerFailed) as reason:
            say(f"{name} has no idle_connection_bytes: {reason}")
    return Figure("idle_connection_bytes", "B", held, peers)


def say(text: str) -> None:
    """A line for whoever watches, apart from the figures."""
    print(f"wire: {text}", file=sys.stderr, flush=True)
