"""Figures of agents: what models are given, and what becomes of effects when calls, runs and servers are killed.

`python -m benchmarks agents [--only NAME] [--small] [--limit S]`; each figure has a module of its own. What they
have done is told to stderr every ten seconds; a figure that was ended early says of how many in its unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks.agents import effects, history, prefix
from benchmarks.agents.progress import Extent
from benchmarks.figure import Figure

FIGURES: Final[dict[str, Callable[[Extent], Iterator[Figure]]]] = {
    "effects": effects.figures,
    "history": history.figures,
    "prefix": prefix.figures,
}
OPTIONS = ("only", "small", "limit")


def figures(only: str | None = None, small: bool = False, limit: float | None = None) -> Iterator[Figure]:
    """Yield every figure, or those of one name; `small` ones say nothing but whether they run.

    After `limit` seconds each begins nothing new.
    """
    if only is not None and only not in FIGURES:
        raise SystemExit(f"there is no figure {only!r}; there are {', '.join(FIGURES)}")
    extent = Extent(small) if limit is None else Extent(small, limit)
    for name, measure in FIGURES.items():
        if only in (None, name):
            yield from measure(extent)
