"""The frame of actors that look at a queue in the database again and again, and do what is due."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio
from attrs import define, field

from actors import Actor, Context

ASK_S: Final = 30.0
"""Seconds between two questions whether a queue is used at all. A use that began on another node, which then died, is
noticed that late at most."""


@define(eq=False)
class Use:
    """Whether a queue is used at all: while it is not, its poller sleeps for ASK_S.

    `ask` reads the database. `began` wakes the poller: call it when something was added on this node.
    """

    ask: Callable[[], Awaitable[bool]]
    began: Callable[[], object] = field(default=lambda: None, init=False)
    _used: bool = field(default=False, init=False)
    _asked_at: float = field(default=float("-inf"), init=False)

    async def sleep_s(self, every_s: float) -> float:
        """Return the seconds until the next poll: `every_s` if the queue is used. Raises StorageError."""
        if not self._used or trio.current_time() >= self._asked_at + ASK_S:
            self._used, self._asked_at = await self.ask(), trio.current_time()
        return every_s if self._used else ASK_S


class Poll:
    """Tells a poller to poll now."""


class Poller(Actor):
    """Polls at its start, as the server may have been down, and again after as long as each poll says."""

    use: Use | None = None
    """Whether its queue is used, if that can be asked."""

    async def on_start(self, context: Context) -> None:
        """Poll at once, and when the use of the queue begins here."""
        if self.use is not None:
            self.use.began = partial(context.ref.try_tell, Poll())
        context.ref.tell(Poll())

    async def receive(self, message: object, context: Context) -> None:
        """Poll, and set the timer for the next poll."""
        if not isinstance(message, Poll):
            context.unhandled(message)
            return
        context.set_timer("poll", await self.poll(), Poll())

    async def poll(self) -> float:
        """Do what is due. Return the seconds until the next poll."""
        raise NotImplementedError
