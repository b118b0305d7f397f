"""Signs of life for clients that wait for the database.

1. A wait costs two steps in a dictionary while the database answers: no task and no timer of its own.
2. One actor looks at all waits; after `FIRST_S` it tells, and again every `AGAIN_S` as long as the wait lasts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio
from attrs import define, field

from actors import Actor, Context

AWAY: Final = "Waiting for the database"
FIRST_S: Final = 0.7
"""After how long a wait is told, and `LOOK_S` later at the latest: within a second, and beyond any healthy commit."""
AGAIN_S: Final = 10.0
"""After how long it is told again."""
CHECK_S: Final = 0.1
"""How often the waits are looked at."""


@define(eq=False)
class _Wait:
    """One wait; `due` is when it is told next, on trio's clock."""

    notify: Callable[[], None]
    due: float


@define(eq=False)
class StorageWaits:
    """All that is waiting for the database at this moment, the longest wait first."""

    _waits: dict[int, _Wait] = field(factory=dict, init=False)
    _next: int = field(default=0, init=False)

    @contextmanager
    def notify_if_slow(self, tell: Callable[[], None]) -> Iterator[None]:
        """Have `tell` called whenever the block lasts too long. It must not wait, nor raise."""
        self._next += 1
        number = self._next
        self._waits[number] = _Wait(tell, trio.current_time() + FIRST_S)
        try:
            yield
        finally:
            del self._waits[number]

    def notify_overdue(self) -> None:
        """Tell of the waits that are due."""
        now = trio.current_time()
        for wait in list(self._waits.values()):
            if wait.due <= now:
                wait.due = now + AGAIN_S
                wait.notify()


class _Check:
    """Look now."""


class StorageWaitMonitor(Actor):
    """Looks at the waits, over and over."""

    def __init__(self, waits: StorageWaits) -> None:
        self.waits = waits

    async def on_start(self, context: Context) -> None:
        """Look at once."""
        context.ref.tell(_Check())

    async def receive(self, message: object, context: Context) -> None:
        """Tell of the waits that are due, and look again soon."""
        context.set_timer("look", CHECK_S, _Check())
        self.waits.notify_overdue()
