"""The owner of a cell: decides what follows the end of an incarnation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from .cell import Cell
    from .exit_reasons import Exit


class Host(Protocol):
    """The owner of a cell: the `Children` of its parent, or the system for the root."""

    owner: Cell | None
    nursery: trio.Nursery

    def child_ended(self, cell: Cell, reason: Exit) -> None:
        """Decide what follows the end of an incarnation."""

    def resumed(self, cell: Cell, error: Exception) -> None:
        """Report an error that the actor survived."""

    def retire(self, cell: Cell, reason: Exit) -> None:
        """Free the cell's name and bury it: it gets no further incarnation."""
