"""How much is done: sizes that are worth quoting, and sizes for a test."""

from __future__ import annotations

from attrs import frozen


@frozen
class Sizes:
    """Counts and times of every figure; `_s` is seconds.

    `producers` record as fast as they can, for `durable_s` in each of `rounds`. `events` are in the database that has
    grown, `steady_events` in the one that is compared with an empty one; `looks` are how often a thread is opened and
    resumed, `appends` how many events go from node to node, `answers` how many run on the node that is killed. The two
    nodes' processor time is counted over `load_s`.
    """

    rounds: int = 5
    producers: int = 200
    durable_s: float = 1.5
    events: int = 1_000_000
    looks: int = 200
    steady_events: int = 2_000_000
    commits: int = 1_000
    appends: int = 1_000
    answers: int = 200
    load_s: float = 15.0


QUICK = Sizes(
    rounds=1, producers=5, durable_s=0.2, events=4_000, looks=5, steady_events=4_000, commits=20, appends=20,
    answers=4, load_s=2.0,
)  # fmt: skip
"""So small that the numbers mean nothing: for tests."""
