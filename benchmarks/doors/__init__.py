"""Figures of the doors for other people's clients: what they cost beside our own socket, and what survives a kill.

`python -m benchmarks doors [--only NAME] [--small] [--limit S]`; a door joins in by its line in `overhead.DOORS` and
in `rejoin.CLIENTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks.agents.progress import Extent
from benchmarks.doors import mcp_calls, mcp_unattended, overhead, rejoin
from benchmarks.figure import Figure

FIGURES: Final[dict[str, Callable[[Extent], Iterator[Figure]]]] = {
    "overhead": overhead.figures,
    "rejoin": rejoin.figures,
    "mcp_call": mcp_calls.figures,
    "mcp_unattended": mcp_unattended.figures,
}
OPTIONS = ("only", "small", "limit")


def figures(only: str | None = None, small: bool = False, limit: float | None = None) -> Iterator[Figure]:
    """Yield every figure, or those of one name; `small` ones say nothing but whether they run."""
    if only is not None and only not in FIGURES:
        raise SystemExit(f"there is no figure {only!r}; there are {', '.join(FIGURES)}")
    extent = Extent(small) if limit is None else Extent(small, limit)
    for name, measure in FIGURES.items():
        if only in (None, name):
            yield from measure(extent)
