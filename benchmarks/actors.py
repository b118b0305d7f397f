"""The actors in numbers, beside other actor libraries, beside trio alone, and far behind Erlang.

tell               messages told and handled a second: one sender, one receiver, bursts of 1,000
ask                questions answered a second, one at a time
spawn              actors started a second, one at a time: from the call until the first message is handled
reborn_us          microseconds from a kill, or a crash where there is no kill, until the next incarnation has handled
                   a message
idle_actor_bytes   memory one more idle actor holds: resident, or requested from the allocator, whichever is more
told_actor_bytes   the same for one of ours that has handled a message: its mailbox has made a lane by then
soak_growth_*      see `benchmarks.actors_soak`

Every peer has a process of its own on the one core this process is pinned to; rounds are interleaved, so that a noisy
moment hits all, and every number is the median of its rounds. In all of them a counter matches a pattern over the same
messages. Ours has everything on: lanes, counts, crash handling, and a timeout for every ask.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from attrs import frozen

from . import actors_soak
from .figure import RUNS, Figure
from .peers.catalogue import OURS, PEERS, Peer
from .peers.home import Missing
from .peers.process import PeerFailed, PeerProcess


@frozen
class Sizes:
    """How much is done in one round: messages, actors, kills; and how many rounds there are."""

    tells: int = 100_000
    asks: int = 20_000
    spawns: int = 1_000
    kills: int = 500
    idle_actors: int = 100_000
    rounds: int = RUNS


def figures(sizes: Sizes | None = None, peers: Sequence[Peer] = PEERS) -> Iterator[Figure]:
    """Measure and yield, one by one. What is missing is said on the error output, one line each."""
    sizes = sizes or Sizes()
    with ExitStack() as stack:
        company = [stack.enter_context(process) for process in start((OURS, *peers))]
        yield compare(company, "tell", "1/s", sizes.tells, sizes.rounds)
        yield compare(company, "ask", "1/s", sizes.asks, sizes.rounds)
        yield compare(company, "spawn", "1/s", sizes.spawns, sizes.rounds)
        yield compare(company, "reborn_us", "us", sizes.kills, sizes.rounds)
        holding = [process.peer for process in company if "idle_resident" in process.figures]
    yield idle_actor_bytes(holding, sizes)
    told = median_of_fresh(OURS, "told_resident", sizes.idle_actors, sizes.rounds)
    yield Figure("told_actor_bytes", "B", told)
    yield from actors_soak.figures()


def start(peers: Sequence[Peer]) -> Iterator[PeerProcess]:
    """The processes of all peers that can be had."""
    for peer in peers:
        try:
            process = PeerProcess(peer)
        except Missing as reason:
            say(f"no {peer.name}: {reason}")
        else:
            say(f"{peer.name}: {process.what}")
            yield process


def compare(company: Sequence[PeerProcess], name: str, unit: str, count: int, rounds: int) -> Figure:
    """One figure of everybody who has it."""
    able = [process for process in company if name in process.figures]
    runs: dict[str, list[float]] = {process.peer.name: [] for process in able}
    for _ in range(rounds):
        for process in tuple(able):
            try:
                runs[process.peer.name].append(process.measure(name, count))
            except PeerFailed as reason:
                say(f"{process.peer.name} has no {name}: {reason}")
                able.remove(process)
                del runs[process.peer.name]
    return figure(name, unit, runs)


def idle_actor_bytes(peers: Sequence[Peer], sizes: Sizes) -> Figure:
    """The memory of idle actors, each time in a fresh process: what one has held before stays with it.

    Traced bytes are the same every time, and tracing is slow: they are counted once.
    """
    held: dict[str, list[float]] = {}
    for peer in peers:
        count = min(peer.idle_actors, sizes.idle_actors)
        try:
            resident = median_of_fresh(peer, "idle_resident", count, sizes.rounds)
            traced = median_of_fresh(peer, "idle_traced", count, 1)
        except (Missing, PeerFailed) as reason:
            say(f"{peer.name} has no idle_actor_bytes: {reason}")
            continue
        say(f"{peer.name}: an idle actor of {count:,} has {resident:,.0f} B resident, {traced:,.0f} B traced")
        held[peer.name] = [max(resident, traced)]
    return figure("idle_actor_bytes", "B", held)


def median_of_fresh(peer: Peer, name: str, count: int, rounds: int) -> float:
    """The median of a measurement that needs a new process each time."""
    runs = []
    for _ in range(rounds):
        with PeerProcess(peer) as process:
            runs.append(process.measure(name, count))
    return statistics.median(runs)


def figure(name: str, unit: str, runs: dict[str, list[float]]) -> Figure:
    """The medians as a figure; raises `PeerFailed` when our own number is not among them."""
    medians = {peer: statistics.median(values) for peer, values in runs.items()}
    if OURS.name not in medians:
        raise PeerFailed(f"our own actors have no {name}")
    return Figure(name, unit, medians.pop(OURS.name), medians)


def say(text: str) -> None:
    """A line for whoever watches, apart from the figures."""
    print(f"peers: {text}", file=sys.stderr, flush=True)
