"""Idle connections: what a server's resident memory grows by, and the work of opening them, divided by how many there
are."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import frozen

from .client import Crowd, upgrade
from .server import Server
from .sizes import Sizes


@frozen
class Idle:
    """One more connection that does nothing: its resident `bytes`, and the seconds of work that it took to open it."""

    bytes: float
    open_s: float


def idle(
    server: Server,
    path: Callable[[int], str],
    connections: int,
    sizes: Sizes,
    request: Callable[[str], bytes] = upgrade,
) -> Idle:
    """Measure so many `connections`; `path(number)` is where each connects, and `request` what it asks with.

    The first few are not counted: they pay for what is made once. Raises ServerFailed.
    """
    first, all_of_them = sizes.idle_before, sizes.idle_before + connections
    with Crowd(server, request) as crowd:
        crowd.open([path(number) for number in range(first)])
        time.sleep(sizes.settle_s)
        before, worked_s = server.memory(), server.cpu_s()
        crowd.open([path(number) for number in range(first, all_of_them)])
        worked_s = server.cpu_s() - worked_s
        time.sleep(sizes.settle_s)
        grown = (server.memory() - before) / connections
    if grown <= 0:
        raise server.failed("its memory did not grow")
    return Idle(grown, worked_s / connections)
