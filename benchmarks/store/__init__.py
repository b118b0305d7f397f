"""The store in numbers.

durable_events      durable events a second, end to end: 200 runs each record one after the other, through their
                    conversation and the group commit to the disk (`synchronous=FULL`), and on to a follower. `bare` is
                    a group commit of the same rows with nothing around it, `postgresql` ours on PostgreSQL
durable_p99_ms      how long the slowest but one in a hundred of these waited
open_thread_ms      opening a thread where a million events are stored: the slowest but one in a hundred requests for
                    its last messages, from request to the last byte; `open_thread_p50_ms` the middle one
resume_ms           the same for resuming a thread over its last 1,000 events, from the command to the last event

Our server has a core of its own. Rates and waits are by the clock on the wall, as a disk is waited for; so they are
worse when others use the machine.
"""

from __future__ import annotations

import logging
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figure import Figure
from benchmarks.peers.home import Missing
from tests.servers.postgresql import Postgres

from .bare import bare
from .durable import Rate, durable
from .grown import Times, read
from .servers import postgresql
from .sizes import QUICK, Sizes

__all__ = ["QUICK", "Sizes", "figures"]

POSTGRESQL = "postgresql"


def figures(sizes: Sizes | None = None) -> Iterator[Figure]:
    """Measure and yield, one by one. What is not on this machine is named on the error output."""
    sizes = sizes or Sizes()
    with ExitStack() as stack:
        server = None
        try:
            server = stack.enter_context(postgresql())
        except Missing as reason:
            say(f"no {POSTGRESQL}: {reason}")
        yield from _durable(sizes, server)
        yield from _read(sizes, server)


def _durable(sizes: Sizes, server: Postgres | None) -> Iterator[Figure]:
    """The medians of everybody, their rounds in turn."""
    rounds: dict[str, list[Rate]] = {"ours": [], "bare": [], POSTGRESQL: []}
    for _ in range(sizes.rounds):
        for name, taken in rounds.items():
            if name == POSTGRESQL and server is None:
                continue
            address = server.create() if server is not None and name == POSTGRESQL else ""
            logging.disable(logging.CRITICAL)  # the runs that are cut off at the end
            with TemporaryDirectory(prefix="understudy-bench-") as folder:
                if name == "bare":
                    taken.append(bare(Path(folder), sizes.producers, sizes.durable_s))
                else:
                    taken.append(durable(Path(folder), sizes.producers, sizes.durable_s, address))
            logging.disable(logging.NOTSET)
    for figure, unit, value in (
        ("durable_events", "events/s", lambda rate: rate.events_per_s),
        ("durable_p99_ms", "ms", lambda rate: rate.p99_ms),
        ("durable_cpu_us", "us", lambda rate: 1e6 * rate.processor_s / rate.events),
    ):
        medians = {name: statistics.median(map(value, taken)) for name, taken in rounds.items() if taken}
        yield Figure(figure, unit, medians.pop("ours"), medians)


def _read(sizes: Sizes, server: Postgres | None) -> Iterator[Figure]:
    places: dict[str, tuple[Times, Times]] = {}
    with TemporaryDirectory(prefix="understudy-bench-") as folder:
        places["ours"] = read(Path(folder), sizes.events, sizes.looks, Path(folder))
    if server is not None:
        with TemporaryDirectory(prefix="understudy-bench-") as folder:
            places[POSTGRESQL] = read(server.create(), sizes.events, sizes.looks, Path(folder))
    for place, name in enumerate(("open_thread", "resume")):
        for part, attribute in (("ms", "p99_ms"), ("p50_ms", "p50_ms")):
            found = {who: getattr(times[place], attribute) for who, times in places.items()}
            yield Figure(f"{name}_{part}", "ms", found.pop("ours"), found)


def say(text: str) -> None:
    """A line for whoever watches, apart from the figures."""
    print(f"store: {text}", file=sys.stderr, flush=True)
