"""One measured number beside its peers', and how it is printed."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

from attrs import field, frozen

RUNS = 5
"""Every figure is the median of this many runs, where it does not say otherwise."""
_THOUSANDS = ((1e6, "M"), (1e3, "k"))


@frozen
class Figure:
    """A figure by name, with its unit, our number, and the numbers of others doing the same work in the same run."""

    figure: str
    unit: str
    ours: float
    peers: dict[str, float] = field(factory=dict)
    aim: float | None = None
    """The most that it should be."""

    def line(self) -> str:
        """The figure as a line to read."""
        peers = "   ".join(f"{name} {value:,.6g}{self._ratio(value, 'x')}" for name, value in self.peers.items())
        aim = "" if self.aim is None else f"aim {self.aim:,.6g}, {'met' if self.met else 'missed'}   "
        return f"{self.figure:<24} {self.ours:>14,.6g} {self.unit:<10} {aim}{peers}".rstrip()

    @property
    def met(self) -> bool | None:
        """Whether our number is within its aim; None without one."""
        return None if self.aim is None else self.ours <= self.aim

    def json(self) -> str:
        """The figure as one JSON object: figure, unit, ours, peers, and aim and met if it has an aim."""
        told: dict[str, object] = {"figure": self.figure, "unit": self.unit, "ours": self.ours, "peers": self.peers}
        return json.dumps(told if self.aim is None else told | {"aim": self.aim, "met": self.met})

    def row(self) -> str:
        """The figure as a row of the documentation's table: behind each peer, how many of it ours is."""
        peers = " · ".join(f"{name} {short(value)}{self._ratio(value)}" for name, value in self.peers.items())
        ours = f"{short(self.ours)} {self.unit}".rstrip()
        aim = "" if self.aim is None else f" (aim {short(self.aim)}{'' if self.met else ', missed'})"
        return f"| `{self.figure}` | {ours}{aim} | {peers or 'none'} |"

    def _ratio(self, value: float, times: str = "") -> str:
        """How many of a peer's value ours is, in brackets; empty if the peer's is zero."""
        return f" ({times}{self.ours / value:.2f})" if value else ""


def table(figures: Iterable[Figure]) -> str:
    """The documentation's table of these figures, in Markdown."""
    head = ["| figure | understudy | peers, and how many of each understudy is |", "| --- | --- | --- |"]
    return "\n".join([*head, *(figure.row() for figure in figures)])


def machine() -> str:
    """What a run's numbers depend on, in a line, and how busy the machine is now."""
    versions = [f"{name} {version(name)}" for name in ("trio", "websockets", "uvicorn", "uvloop") if _has(name)]
    before = f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} before the run"
    return f"{platform.system()}, {before}; Python {platform.python_version()}, {', '.join(versions)}."


def _has(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def short(value: float) -> str:
    """A number as people say it: 481.3 k."""
    for size, letter in _THOUSANDS:
        if abs(value) >= 10 * size or (size > 1e3 and abs(value) >= size):
            return f"{value / size:,.1f} {letter}" if letter == "k" else f"{value / size:,.2f} {letter}"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def pin_to_one_core() -> None:
    """Keep this process, and the threads it starts from now on, on one core: peers with threads get no second one."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


@contextmanager
def all_cores() -> Iterator[None]:
    """Let this process, and those that it starts within, use every core."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)
