"""What a task finds when it is woken: a result for `trio.lowlevel.reschedule` that is made once."""

from __future__ import annotations

from typing import Any


class Woken:
    """A result of None for each wait it is handed to. An `outcome.Value(None)`, trio's own, serves a single one.

    To make and to mark one of those takes half a microsecond of each wake-up. Trio only calls `unwrap`.
    """

    __slots__ = ()

    def unwrap(self) -> None:
        """Return what the wait returns."""


WOKEN: Any = Woken()
"""The second argument of `trio.lowlevel.reschedule`, which is declared to be an `outcome.Outcome`."""
