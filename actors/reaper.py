"""Kills whole families without holding the loop: in batches, with a turn for everybody else between two of them.

1. Of each family a batch is killed at once. If there is more, a task goes on with it; parents come before children.
2. A family of which a batch is killed starts nobody any more.
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
"""Actors that are told to end before others have a turn. To end takes each some 50 µs, so a batch is 1.6 ms."""


class Reaper:
    """Ends the actors of one system that are doomed."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._pending: deque[Cell] = deque()
        self._working = False

    def kill_all(self, family: Children) -> None:
        """Kill every child of `family` and everything below: a batch now, the others soon."""
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
