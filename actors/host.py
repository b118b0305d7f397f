"""What holds an actor's cell, and decides what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from .cell import Cell
    from .exit_reasons import Exit


class Host(Protocol):
    """Who holds a cell: the family of its parent, or the system for the root."""

    owner: Cell | None
    nursery: trio.Nursery

    def child_ended(self, cell: Cell, reason: Exit) -> None:
        """An incarnation is over: decide what comes next."""

    def resumed(self, cell: Cell, error: Exception) -> None:
        """The cell goes on after an error."""

    def retire(self, cell: Cell, reason: Exit) -> None:
        """The cell will have no further incarnation: forget its name and bury it."""
