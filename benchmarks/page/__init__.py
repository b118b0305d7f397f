"""Figures of the chat page: how soon it is there, and what it holds and moves while it is read.

`python -m benchmarks page [--only NAME] [--small] [--limit S]`: Chromium by Playwright over a real server, which is
a process of its own on the loopback interface. Each figure has a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks.agents.progress import Extent
from benchmarks.figure import Figure, all_cores
from benchmarks.page import history, paint, restart, streaming

FIGURES: Final[dict[str, Callable[[Extent], Iterator[Figure]]]] = {
    "history": history.figures,
    "paint": paint.figures,
    "restart": restart.figures,
    "streaming": streaming.figures,
}
OPTIONS = ("only", "small", "limit")


def figures(only: str | None = None, small: bool = False, limit: float | None = None) -> Iterator[Figure]:
    """Yield every figure, or those of one name; `small` ones say nothing but whether they run."""
    if only is not None and only not in FIGURES:
        raise SystemExit(f"there is no figure {only!r}; there are {', '.join(FIGURES)}")
    extent = Extent(small) if limit is None else Extent(small, limit)
    with all_cores():  # a browser and a server: they have the machine as a user's have
        for name, measure in FIGURES.items():
            if only in (None, name):
                yield from measure(extent)
