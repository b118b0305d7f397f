"""Kills whole subtrees in batches, and yields to other tasks between two batches.

1. The first batch is killed at once, the rest by a task; parents come before their children.
2. Once a batch of an actor's children has been killed, that actor starts no child any more.
3. No recursion: a tree may be deeper than Python's stack.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

from . import termination
from .lifecycle import State, StopMode

if TYPE_CHECKING:
    from .cell import Cell
    from .children import Children
    from .system import ActorSystem

KILL_BATCH = 32
"""Actors ended between two yields to other tasks. Each takes some 50 µs, so a batch takes 1.6 ms."""


class Reaper:
    """Kills the actors of one system."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._pending: deque[Cell] = deque()
        self._working = False

    def kill_all(self, family: Children) -> None:
        """Kill all children and everything below them: one batch now, the others in a task."""
        doomed = deque(family.close_for_kill())
        self._kill_batch(doomed)
        if doomed:
            self._pending.extend(doomed)
            if not self._working:
                self._working = True
                name = f"{self._system.name} (kills)"
                self._system.start_soon(self._system.nursery, name, self._kill_the_rest)

    async def _kill_the_rest(self) -> None:
        try:
            while self._pending:
                await trio.lowlevel.checkpoint()
                self._kill_batch(self._pending)
        finally:
            self._working = False

    def _kill_batch(self, doomed: deque[Cell]) -> None:
        for _ in range(KILL_BATCH):
            if not doomed:
                return
            cell = doomed.popleft()
            cell.incarnation.no_restart = True
            if cell.state not in (State.STOPPED, State.BACKING_OFF):
                termination.kill_alone(cell)
                if cell.children is not None:
                    doomed.extend(cell.children.close_for_kill())
            termination.order_stop(cell, StopMode.NOW)
