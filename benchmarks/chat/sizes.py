"""How much is measured: sizes that are worth quoting, and sizes for a test."""

from __future__ import annotations

from attrs import frozen


@frozen
class Sizes:
    """Counts and times; `_s` is seconds.

    `every_s` is how often each user sends. `users` send for `for_s` while processor time is measured. A search takes at
    most `probes` runs of `probe_s`, and ends when what fits and what does not are within `within` of each other. It
    begins with `reach` users at most, which one process of `tests.load` can send for. A fast model answers one user for
    `fast_s`.
    """

    every_s: float = 10.0
    users: int = 300
    for_s: float = 30.0
    probes: int = 5
    probe_s: float = 20.0
    within: float = 1.2
    reach: int = 1_400
    burst: int = 1_000
    busy: int = 500
    fast_s: float = 15.0


QUICK = Sizes(every_s=1.0, users=2, for_s=1.0, probes=1, probe_s=1.0, burst=4, busy=3, fast_s=1.0)
"""So small that the numbers mean nothing: for tests."""
