"""Progress events for clients that wait for the database.

While the database answers, a wait costs two dictionary operations: no task and no timer of its own. One actor checks
all waits: it notifies the client after `FIRST_S`, and again every `AGAIN_S` as long as the wait lasts. Without waits it
sleeps until the next one wakes it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import trio
from attrs import define, field

from actors import Actor, Context

AWAY: Final = "Waiting for the database"
FIRST_S: Final = 0.7
"""Seconds before the first notice, at most `CHECK_S` more: within a second, and longer than any healthy commit."""
AGAIN_S: Final = 10.0
"""Seconds between further notices of the same wait."""
CHECK_S: Final = 0.25
"""Seconds between checks of all waits; a check takes a tenth of the processor time of a message."""


@define(eq=False)
class StorageWaits:
    """The `current` waits for the database, by number: each with what notifies its client, and when (trio's clock)."""

    current: dict[int, tuple[Callable[[], None], float]] = field(factory=dict, init=False)
    _next: int = field(default=0, init=False)
    wake: Callable[[], object] | None = field(default=None, init=False, repr=False)
    """Wakes the monitor. Set while it sleeps; the next wait calls and removes it."""

    @contextmanager
    def notify_if_slow(self, notify: Callable[[], None]) -> Iterator[None]:
        """Call `notify` as long as the block lasts too long. It must not block, nor raise."""
        self._next += 1
        number = self._next
        self.current[number] = (notify, trio.current_time() + FIRST_S)
        if (wake := self.wake) is not None:
            self.wake = None
            wake()
        try:
            yield
        finally:
            del self.current[number]


class _Check:
    """Sent by the monitor to itself: check the waits now."""


class StorageWaitMonitor(Actor):
    """Checks the waits every `CHECK_S`, as long as there are any."""

    def __init__(self, waits: StorageWaits) -> None:
        self.waits = waits

    async def on_start(self, context: Context) -> None:
        """Check at once."""
        context.ref.tell(_Check())

    async def receive(self, message: object, context: Context) -> None:
        """Send the notices that are due, and schedule the next check."""
        now, current = trio.current_time(), self.waits.current
        if not current:
            self.waits.wake = partial(context.ref.try_tell, _Check())
            return
        context.set_timer("check", CHECK_S, _Check())
        for number, (notify, due) in list(current.items()):
            if due <= now:
                current[number] = (notify, now + AGAIN_S)
                notify()
