"""Figures of the chat page: how soon it is there, and what it holds and moves while it is read.

`python -m benchmarks page [--only NAME] [--peer NAME] [--small] [--limit S]`: Chromium by Playwright over a real
server, which is a process of its own on the loopback interface. Each figure has a module of its own. Beside ours are
the figures of the peers in `PEERS`, measured in the same run; `--small` leaves out those that `--peer` does not name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from benchmarks.agents.progress import Extent
from benchmarks.figure import Figure, all_cores
from benchmarks.page import history, paint, restart, streaming
from benchmarks.page.chainlit import Chainlit
from benchmarks.page.chats import Chat
from benchmarks.peers.home import Missing

FIGURES: Final[dict[str, Callable[[Extent, Sequence[Chat]], Iterator[Figure]]]] = {
    "history": history.figures,
    "paint": paint.figures,
    "restart": restart.figures,
    "streaming": streaming.figures,
}
PEERS: Final[dict[str, Callable[[], Chat]]] = {"chainlit": Chainlit.installed}
OPTIONS = ("only", "peer", "small", "limit")


def figures(
    only: str | None = None, peer: str | None = None, small: bool = False, limit: float | None = None
) -> Iterator[Figure]:
    """Yield every figure, or those of one name; `small` ones say nothing but whether they run."""
    if only is not None and only not in FIGURES:
        raise SystemExit(f"there is no figure {only!r}; there are {', '.join(FIGURES)}")
    if peer is not None and peer not in PEERS:
        raise SystemExit(f"there is no peer {peer!r}; there are {', '.join(PEERS)}")
    extent = Extent(small) if limit is None else Extent(small, limit)
    peers = [] if small and peer is None else _installed([peer] if peer else list(PEERS))
    with all_cores():  # a browser and a server: they have the machine as a user's have
        for name, measure in FIGURES.items():
            if only in (None, name):
                yield from measure(extent, peers)


def _installed(names: Sequence[str]) -> list[Chat]:
    """Install the peers. One that cannot be had is named on the error output."""
    found: list[Chat] = []
    for name in names:
        try:
            found.append(PEERS[name]())
        except Missing as why:
            print(f"page: without {name}: {why}", file=sys.stderr)
    return found
