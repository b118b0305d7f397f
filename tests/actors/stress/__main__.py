"""The command: `python -m tests.actors.stress --rounds 1000 --seed 0`. It names each failed seed, and sums up."""

import sys
from argparse import ArgumentParser
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from actors.testing.simulation import Trace
from tests.actors.stress.rounds import faults_of, play


def replay(seed: int) -> bool:
    """Play one round, and tell all of it. Return whether a rule was broken."""
    trace = Trace()
    report = play(seed, trace)
    print(f"seed {seed}, ends: {report.plan.end}", *report.plan.tree, report.plan.worker, sep="\n  ")
    for at_s, what in report.story:
        print(f"{at_s:10.3f}  {what}")
    print(*(f"FAULT {fault}" for fault in report.faults or ["none"]), sep="\n")
    print(f"{trace.steps} steps, trace {trace.digest}")
    return bool(report.faults)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 1 if a round failed, else 0."""
    parser = ArgumentParser(prog="python -m tests.actors.stress", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000, help="how many rounds to play")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first round; the next has the next one")
    parser.add_argument("--processes", type=int, default=1, help="how many processes play")
    parser.add_argument("--replay", type=int, metavar="SEED", help="play this round only, and tell all of it")
    options = parser.parse_args(arguments)
    if options.replay is not None:
        return int(replay(options.replay))
    incarnations = failed = 0
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        seeds = range(options.seed, options.seed + options.rounds)
        for seed, faults, begun in pool.map(faults_of, seeds, chunksize=25):
            incarnations += begun
            if faults:
                failed += 1
                again = f"python -m tests.actors.stress --replay {seed}"
                print(f"seed {seed} failed: {'; '.join(faults)}\n    {again}", flush=True)
    print(f"{options.rounds} rounds from seed {options.seed}, {incarnations} incarnations, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
