"""The result with which tasks are woken: an argument of `trio.lowlevel.reschedule`, made once and shared."""

from __future__ import annotations

from typing import Any


class Woken:
    """A result of None for any number of waits. Trio's own, an `outcome.Value(None)`, serves a single wait.

    To make and to mark one of those takes half a microsecond of each wake-up. Trio only calls `unwrap`.
    """

    __slots__ = ()

    def unwrap(self) -> None:
        """Return the result of the wait: None."""


WOKEN: Any = Woken()
"""The second argument of `trio.lowlevel.reschedule`, which is declared to be an `outcome.Outcome`."""
