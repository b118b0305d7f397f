"""Progress events for clients that wait for the database.

1. A wait costs two dictionary operations while the database answers: no task and no timer of its own.
2. One actor checks all waits: it notifies after `FIRST_S`, and again every `AGAIN_S` as long as the wait lasts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio
from attrs import define, field

from actors import Actor, Context

AWAY: Final = "Waiting for the database"
FIRST_S: Final = 0.7
"""Seconds before the first notice, at most `CHECK_S` more: within a second, and longer than any healthy commit."""
AGAIN_S: Final = 10.0
"""Seconds between further notices of the same wait."""
CHECK_S: Final = 0.1
"""Seconds between checks of all waits."""


@define(eq=False)
class _Wait:
    """One wait; `due` is when its next notice is due, on trio's clock."""

    notify: Callable[[], None]
    due: float


@define(eq=False)
class StorageWaits:
    """All current waits for the database, the longest wait first."""

    _waits: dict[int, _Wait] = field(factory=dict, init=False)
    _next: int = field(default=0, init=False)

    @contextmanager
    def notify_if_slow(self, tell: Callable[[], None]) -> Iterator[None]:
        """Call `tell` as long as the block lasts too long. It must not block, nor raise."""
        self._next += 1
        number = self._next
        self._waits[number] = _Wait(tell, trio.current_time() + FIRST_S)
        try:
            yield
        finally:
            del self._waits[number]

    def notify_overdue(self) -> None:
        """Send the notices that are due."""
        now = trio.current_time()
        for wait in list(self._waits.values()):
            if wait.due <= now:
                wait.due = now + AGAIN_S
                wait.notify()


class _Check:
    """To itself: check now."""


class StorageWaitMonitor(Actor):
    """Checks the waits every `CHECK_S`."""

    def __init__(self, waits: StorageWaits) -> None:
        self.waits = waits

    async def on_start(self, context: Context) -> None:
        """Check at once."""
        context.ref.tell(_Check())

    async def receive(self, message: object, context: Context) -> None:
        """Send the notices that are due, and schedule the next check."""
        context.set_timer("look", CHECK_S, _Check())
        self.waits.notify_overdue()
