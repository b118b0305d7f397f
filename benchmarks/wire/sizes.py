"""How much is done: sizes that are worth quoting, and sizes for a test."""

from __future__ import annotations

from attrs import frozen

from benchmarks.figure import RUNS


@frozen
class Sizes:
    """Counts and times of every figure; `_s` is seconds. `sse` are event streams over HTTP, after `idle_before` others.

    `connections` send and receive as fast as they can, for `seconds` in each of `rounds`, after `warm_s`. `settle_s`
    passes between the last idle connection and a look at the memory.
    """

    rounds: int = RUNS
    connections: int = 50
    seconds: float = 0.6
    warm_s: float = 0.15
    idle: int = 9_900
    idle_before: int = 100
    sse: int = 1_000
    settle_s: float = 1.5
    stalled: int = 1_000
    readers: int = 50
    steady_s: float = 3.0
    stall_s: float = 9.0
    storm: int = 2_000
    events: int = 20
    streams: int = 1_000
    stream_s: float = 5.0


QUICK = Sizes(
    rounds=1, connections=4, seconds=0.1, warm_s=0.02, idle=400, idle_before=100, sse=100, settle_s=0.2, stalled=5,
    readers=3, steady_s=0.6, stall_s=1.2, storm=10, events=6, streams=5, stream_s=1.0,
)  # fmt: skip
"""So small that the numbers mean nothing: for tests."""
