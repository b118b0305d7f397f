"""The command that plays rounds, optionally in several processes, names each failed seed, and prints a summary."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from math import inf
from multiprocessing import get_context
from time import monotonic

from attrs import define, field

from actors.testing.simulation import Trace
from actors.testing.stress.rounds import play

CHUNK = 25
"""Rounds a process plays at a time: about a tenth of a second."""
REPLAY = "python -m actors.testing.stress --replay"


@define
class Tally:
    """The results of some rounds: their number, their incarnations, and the faults of each failed seed."""

    rounds: int = 0
    incarnations: int = 0
    failed: dict[int, list[str]] = field(factory=dict)

    def add(self, other: Tally) -> None:
        """Take over another's numbers."""
        self.rounds += other.rounds
        self.incarnations += other.incarnations
        self.failed.update(other.failed)


def play_many(seeds: Sequence[int]) -> Tally:
    """Play one round for each seed."""
    tally = Tally()
    for seed in seeds:
        report = play(seed)
        tally.rounds += 1
        tally.incarnations += report.incarnations
        if report.faults:
            tally.failed[seed] = report.faults
    return tally


def play_in_processes(seeds: Iterator[int], processes: int, end: float) -> Iterator[Tally]:
    """Play the rounds in several processes until all are done or `end` (monotonic). Yield a tally for each chunk."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        working: set[Future[Tally]] = set()
        while True:
            while len(working) < 2 * processes and monotonic() < end and (chunk := list(islice(seeds, CHUNK))):
                working.add(pool.submit(play_many, chunk))
            if not working:
                return
            done, working = wait(working, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def play_here(seeds: Iterator[int], end: float) -> Iterator[Tally]:
    """Play the rounds in this process until all are done or `end` (monotonic); yield a tally for each chunk."""
    while monotonic() < end and (chunk := list(islice(seeds, CHUNK))):
        yield play_many(chunk)


def replay(seed: int) -> int:
    """Play one round and tell all of it; return 1 if a rule was broken, else 0."""
    trace = Trace()
    report = play(seed, trace)
    sys.stdout.writelines(f"{line}\n" for line in report.lines())
    sys.stdout.write(f"{trace.steps} steps, trace {trace.digest}\n")
    return 1 if report.faults else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a round failed, else 0."""
    parser = ArgumentParser(prog="python -m actors.testing.stress", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000, help="how many rounds to play")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first round; the next has the next one")
    parser.add_argument("--time-limit", type=float, default=inf, metavar="S", help="start none after S seconds")
    parser.add_argument("--processes", type=int, default=1, help="how many processes play")
    parser.add_argument("--replay", type=int, metavar="SEED", help="play this round only, and tell all of it")
    options = parser.parse_args(arguments)
    if options.replay is not None:
        return replay(options.replay)
    began = monotonic()
    end = began + options.time_limit
    seeds = iter(range(options.seed, options.seed + options.rounds))
    processes = options.processes
    total = Tally()
    for tally in play_here(seeds, end) if processes == 1 else play_in_processes(seeds, processes, end):
        total.add(tally)
        for seed, faults in tally.failed.items():
            sys.stdout.write(f"seed {seed} failed: {'; '.join(faults)}\n    {REPLAY} {seed}\n")
            sys.stdout.flush()
    seeds_used = f"seeds {options.seed} to {options.seed + total.rounds - 1}" if total.rounds else "no seeds"
    sys.stdout.write(
        f"{total.rounds} rounds, {seeds_used},"
        f" {total.incarnations} incarnations, {len(total.failed)} failed, {monotonic() - began:.1f} s\n"
    )
    return 1 if total.failed else 0
