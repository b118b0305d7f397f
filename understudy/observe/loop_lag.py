"""The actor that measures how late the event loop is."""

from collections.abc import Callable
from typing import Final

import trio
from attrs import frozen

from actors import Actor, Context

EVERY_S: Final = 1.0
"""Seconds between two measurements: every scrape sees several, and an idle server has next to no work."""


@frozen
class _Beat:
    """Timer message: it was due at this time of the trio clock."""

    due: float


class LoopLag(Actor):
    """Calls `observe` once a second with the seconds from a timer's due time to the handling of its message.

    On an idle loop that is a millisecond or less. It grows if a task blocks the loop, or if the loop has more work than
    one processor can do.
    """

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe

    async def on_start(self, context: Context) -> None:
        """Set the first timer."""
        self._set_timer(context)

    async def receive(self, message: object, context: Context) -> None:
        """Measure, and set the next timer."""
        match message:
            case _Beat(due):
                self._observe(trio.current_time() - due)
                self._set_timer(context)

    def _set_timer(self, context: Context) -> None:
        context.set_timer("beat", EVERY_S, _Beat(trio.current_time() + EVERY_S))
