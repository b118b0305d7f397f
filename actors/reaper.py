"""Kills whole subtrees in batches, and yields to other tasks between two batches.

1. The first batch is killed at once, the rest by a task; parents come before their children.
2. Once a batch of an actor's children has been killed, that actor starts no child any more.
3. No recursion: a tree may be deeper than Python's stack.
"""

from __future__ import annotations

from collections import deque

import trio

from .cell import Cell, Directory
from .lifecycle import StopMode

KILL_BATCH = 32
"""Actors ended between two yields to other tasks. Each takes some 50 µs, so a batch takes 1.6 ms."""


def kill_all(system: Directory, children: list[Cell]) -> None:
    """Kill these actors and everything below them: one batch now, the others in a task."""
    doomed = deque(children)
    _kill_batch(doomed)
    if doomed:
        working = bool(system.doomed)
        system.doomed.extend(doomed)
        if not working:
            system.start_soon(system.nursery, f"{system.name} (kills)", _kill_the_rest, system)


async def _kill_the_rest(system: Directory) -> None:
    while system.doomed:
        await trio.lowlevel.checkpoint()
        _kill_batch(system.doomed)


def _kill_batch(doomed: deque[Cell]) -> None:
    for _ in range(KILL_BATCH):
        if not doomed:
            return
        cell = doomed.popleft()
        cell.incarnation.end().no_restart = True
        if not cell.down:
            cell.kill_alone()
            if cell.children is not None:
                doomed.extend(cell.children.close_for_kill())
        cell.order_stop(StopMode.NOW)
