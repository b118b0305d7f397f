"""One measured number beside its peers', and how it is printed."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable

from attrs import field, frozen

RUNS = 5
"""Every figure is the median of this many runs."""


@frozen
class Figure:
    """A figure by name, with its unit, our number, and the numbers of others doing the same work in the same run."""

    figure: str
    unit: str
    ours: float
    peers: dict[str, float] = field(factory=dict)

    def line(self) -> str:
        """The figure as a line to read."""
        peers = "   ".join(f"{name} {value:,.6g} (x{self.ours / value:.2f})" for name, value in self.peers.items())
        return f"{self.figure:<24} {self.ours:>14,.6g} {self.unit:<10} {peers}".rstrip()

    def json(self) -> str:
        """The figure as one JSON object: figure, unit, ours, peers."""
        return json.dumps({"figure": self.figure, "unit": self.unit, "ours": self.ours, "peers": self.peers})


def pin_to_one_core() -> None:
    """Keep this process, and the threads it starts from now on, on one core: peers with threads get no second one."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def medians(*measures: Callable[[], float]) -> list[float]:
    """Run the measures in turn, `RUNS` times each, so that a noisy moment hits all; return each one's median."""
    runs = [[measure() for measure in measures] for _ in range(RUNS)]
    return [statistics.median(column) for column in zip(*runs, strict=True)]
