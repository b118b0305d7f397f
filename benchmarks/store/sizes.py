"""How much is done: sizes that are worth quoting, and sizes for a test."""

from __future__ import annotations

from attrs import frozen


@frozen
class Sizes:
    """Counts and times of every figure; `_s` is seconds.

    `producers` record as fast as they can, for `durable_s` in each of `rounds`. `events` are in the database that has
    grown; `looks` are how often a thread is opened and resumed, `appends` how many events go from node to node,
    `answers` how many run on the node that is killed.
    """

    rounds: int = 5
    producers: int = 200
    durable_s: float = 1.5
    events: int = 1_000_000
    looks: int = 200
    appends: int = 1_000
    answers: int = 200


QUICK = Sizes(rounds=1, producers=5, durable_s=0.2, events=4_000, looks=5, appends=20, answers=4)
"""So small that the numbers mean nothing: for tests."""
