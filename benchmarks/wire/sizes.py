"""How much is done: sizes that are worth quoting, and sizes for a test."""

from __future__ import annotations

from attrs import frozen

from benchmarks.figure import RUNS


@frozen
class Sizes:
    """Counts and times of every figure; `_s` is seconds. The first `idle_before` connections are not counted.

    `connections` send and receive as fast as they can, for `seconds` in each of `rounds`, after `warm_s`. `settle_s`
    passes between the last idle connection and a look at the memory.
    """

    rounds: int = RUNS
    connections: int = 50
    seconds: float = 0.6
    warm_s: float = 0.15
    idle: int = 9_900
    idle_before: int = 100
    settle_s: float = 1.5
    storm: int = 2_000
    events: int = 20


QUICK = Sizes(
    rounds=1, connections=4, seconds=0.1, warm_s=0.02, idle=400, idle_before=100, settle_s=0.2, storm=10, events=6
)
"""So small that the numbers mean nothing: for tests."""
