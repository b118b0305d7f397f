"""Idle connections: what a server's resident memory grows by, divided by how many there are."""

from __future__ import annotations

import time
from collections.abc import Callable

from .client import Crowd
from .server import Server
from .sizes import Sizes


def idle(server: Server, path: Callable[[int], str], connections: int, sizes: Sizes) -> float:
    """Return the resident bytes of one more of so many `connections`; `path(number)` is where each connects.

    The first few are not counted: they pay for what is made once. Raises ServerFailed.
    """
    first, all_of_them = sizes.idle_before, sizes.idle_before + connections
    with Crowd(server) as crowd:
        crowd.open([path(number) for number in range(first)])
        time.sleep(sizes.settle_s)
        before = server.memory()
        crowd.open([path(number) for number in range(first, all_of_them)])
        time.sleep(sizes.settle_s)
        grown = (server.memory() - before) / connections
    if grown <= 0:
        raise server.failed("its memory did not grow")
    return grown
