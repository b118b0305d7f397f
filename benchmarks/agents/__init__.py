"""Figures of agents: what models are given, and what survives when runs are steered, killed and undone.

`python -m benchmarks agents [--only NAME] [--small]`; each figure has a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks.agents import effects, history, long_run, neighbour, prefix, schedules, steer
from benchmarks.figure import Figure

FIGURES: Final[dict[str, Callable[[bool], Iterator[Figure]]]] = {
    "effects": effects.figures,
    "history": history.figures,
    "long_run": long_run.figures,
    "neighbour": neighbour.figures,
    "prefix": prefix.figures,
    "schedules": schedules.figures,
    "steer": steer.figures,
}
OPTIONS = ("only", "small")


def figures(only: str | None = None, small: bool = False) -> Iterator[Figure]:
    """Yield every figure, or those of one name; `small` ones say nothing but whether they run."""
    if only is not None and only not in FIGURES:
        raise SystemExit(f"there is no figure {only!r}; there are {', '.join(FIGURES)}")
    for name, measure in FIGURES.items():
        if only in (None, name):
            yield from measure(small)
